//! The macro that turns the table of `catalogue.rs` into the type [`crate::Metric`].

/// Declares the metric type from a table of sections and rows.
///
/// A row is `Variant, "tag", "unit", Better, "meaning";`. The macro makes one enum with one variant per row and the lookups over it,
/// so that the tag, the unit, the direction and the definition of a metric have one source.
macro_rules! catalogue {
    ($(
        $(#[doc = $section_doc:literal])*
        $section:ident, $title:literal => {
            $( $variant:ident, $tag:literal, $unit:literal, $better:ident, $meaning:literal; )*
        }
    )*) => {
        /// The part of the product that logs a metric; a heading of the generated table.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Section {
            $( $(#[doc = $section_doc])* $section, )*
        }

        impl Section {
            /// Every section, in the order of the table.
            pub const ALL: &'static [Section] = &[ $( Section::$section, )* ];

            /// The section's heading.
            pub const fn title(self) -> &'static str {
                match self { $( Section::$section => $title, )* }
            }

            /// The metrics of the section, in the order of the table.
            pub const fn metrics(self) -> &'static [Metric] {
                match self { $( Section::$section => &[ $( Metric::$variant, )* ], )* }
            }
        }

        /// One logged quantity: a tag together with its definition.
        ///
        /// Ordered as in the table. Serialised as its tag.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Metric {
            $( $( #[doc = concat!("`", $tag, "` (", $unit, "): ", $meaning)] $variant, )* )*
        }

        impl Metric {
            /// Every metric, in the order of the table.
            pub const ALL: &'static [Metric] = &[ $( $( Metric::$variant, )* )* ];

            /// The name under which the metric is logged.
            pub const fn tag(self) -> &'static str {
                match self { $( $( Metric::$variant => $tag, )* )* }
            }

            /// The unit of its value.
            pub const fn unit(self) -> &'static str {
                match self { $( $( Metric::$variant => $unit, )* )* }
            }

            /// Which way is better.
            pub const fn better(self) -> Better {
                match self { $( $( Metric::$variant => Better::$better, )* )* }
            }

            /// Its definition: what is averaged over what.
            pub const fn meaning(self) -> &'static str {
                match self { $( $( Metric::$variant => $meaning, )* )* }
            }

            /// The part of the product that logs it.
            pub const fn section(self) -> Section {
                match self { $( $( Metric::$variant => Section::$section, )* )* }
            }

            /// The metric logged under `tag`, if there is one.
            pub fn from_tag(tag: &str) -> Option<Metric> {
                match tag { $( $( $tag => Some(Metric::$variant), )* )* _ => None }
            }
        }
    };
}

/// Declares a small enum of tags (texts, images): `Variant, "tag", "meaning";` per row.
macro_rules! tags {
    ($(#[$doc:meta])* $name:ident { $( $variant:ident, $tag:literal, $meaning:literal; )* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $( #[doc = concat!("`", $tag, "`: ", $meaning)] $variant, )*
        }

        impl $name {
            /// Every tag, in the order of the table.
            pub const ALL: &'static [$name] = &[ $( $name::$variant, )* ];

            /// The name under which it is logged.
            pub const fn tag(self) -> &'static str {
                match self { $( $name::$variant => $tag, )* }
            }

            /// What it holds.
            pub const fn meaning(self) -> &'static str {
                match self { $( $name::$variant => $meaning, )* }
            }

            /// The value logged under `tag`, if there is one.
            pub fn from_tag(tag: &str) -> Option<$name> {
                match tag { $( $tag => Some($name::$variant), )* _ => None }
            }
        }
    };
}

pub(crate) use {catalogue, tags};
