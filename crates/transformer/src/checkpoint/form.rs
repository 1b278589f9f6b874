//! How a file holds a parameter.

/// How a tensor of a file relates to a parameter, whose linear weights are `[inputs, outputs]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// As it is.
    Plain,
    /// `[outputs, inputs]`, PyTorch's `Linear`.
    Transposed,
    /// One third of the columns of `[inputs, 3 * outputs]`: query, key, value (GPT-2).
    Columns {
        /// 0, 1 or 2.
        third: usize,
    },
    /// `[3 * outputs, inputs]`, where every head has its query, key and value rows together (GPT-NeoX).
    Heads {
        /// 0, 1 or 2.
        third: usize,
        /// Number of heads.
        heads: usize,
    },
}

impl Form {
    /// Shape of the tensor in the file for a parameter of shape `own`.
    pub fn file_shape(self, own: &[usize]) -> Vec<usize> {
        match (self, own) {
            (Self::Plain, own) => own.to_vec(),
            (Self::Transposed, &[inputs, outputs]) => vec![outputs, inputs],
            (Self::Columns { .. }, &[inputs, outputs]) => vec![inputs, 3 * outputs],
            (Self::Heads { .. }, &[inputs, outputs]) => vec![3 * outputs, inputs],
            (Self::Transposed, own) => own.to_vec(),
            (Self::Columns { .. } | Self::Heads { .. }, own) => {
                own.iter().map(|width| 3 * width).collect()
            }
        }
    }

    /// The parameter of shape `own` in the tensor `file`.
    pub fn extract(self, file: Vec<f32>, own: &[usize]) -> Vec<f32> {
        if self.is_identity(own) {
            return file;
        }
        let mut values = vec![0.0; own.iter().product()];
        self.each(own, |mine, theirs| values[mine] = file[theirs]);
        values
    }

    /// Writes the parameter `values` of shape `own` into the tensor `file`.
    pub fn insert(self, values: &[f32], own: &[usize], file: &mut [f32]) {
        if self.is_identity(own) {
            return file.copy_from_slice(values);
        }
        self.each(own, |mine, theirs| file[theirs] = values[mine]);
    }

    fn is_identity(self, own: &[usize]) -> bool {
        match self {
            Self::Plain => true,
            Self::Transposed => own.len() == 1,
            Self::Columns { .. } | Self::Heads { .. } => false,
        }
    }

    /// Calls `f` with the index of every number in the parameter and in the file, in blocks that suit both.
    fn each(self, own: &[usize], mut f: impl FnMut(usize, usize)) {
        const BLOCK: usize = 32;
        let (inputs, outputs) = match *own {
            [outputs] => (1, outputs),
            [inputs, outputs] => (inputs, outputs),
            _ => unreachable!("parameters are vectors and matrices"),
        };
        for first_input in (0..inputs).step_by(BLOCK) {
            for first_output in (0..outputs).step_by(BLOCK) {
                for input in first_input..(first_input + BLOCK).min(inputs) {
                    for output in first_output..(first_output + BLOCK).min(outputs) {
                        let theirs = match self {
                            Self::Plain => input * outputs + output,
                            Self::Transposed => output * inputs + input,
                            Self::Columns { third } => (3 * input + third) * outputs + output,
                            Self::Heads { third, heads } => {
                                let width = outputs / heads;
                                let row = (3 * (output / width) + third) * width + output % width;
                                row * inputs + input
                            }
                        };
                        f(input * outputs + output, theirs);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(count: usize) -> Vec<f32> {
        (0..count).map(|i| i as f32).collect()
    }

    #[test]
    fn a_linear_weight_is_transposed() {
        let own = Form::Transposed.extract(numbers(6), &[3, 2]);
        assert_eq!(own, [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
    }

    #[test]
    fn thirds_of_columns_stand_side_by_side() {
        // [2 inputs, 3 * 2 outputs]
        let own = Form::Columns { third: 1 }.extract(numbers(12), &[2, 2]);
        assert_eq!(own, [2.0, 3.0, 8.0, 9.0]);
        assert_eq!(
            Form::Columns { third: 2 }.extract(numbers(6), &[2]),
            [4.0, 5.0]
        );
    }

    #[test]
    fn thirds_of_heads_alternate_by_head() {
        // two heads of width 2, one input: rows q0 q0 k0 k0 v0 v0 q1 q1 k1 k1 v1 v1
        let own = Form::Heads { third: 1, heads: 2 }.extract(numbers(12), &[1, 4]);
        assert_eq!(own, [2.0, 3.0, 8.0, 9.0]);
        assert_eq!(
            Form::Heads { third: 1, heads: 2 }.extract(numbers(12), &[4]),
            own
        );
    }

    #[test]
    fn insertion_undoes_extraction() {
        for own in [vec![40, 66], vec![66]] {
            let heads = 3;
            for forms in [
                vec![Form::Plain],
                vec![Form::Transposed],
                (0..3).map(|third| Form::Columns { third }).collect(),
                (0..3).map(|third| Form::Heads { third, heads }).collect(),
            ] {
                let count = forms[0].file_shape(&own).iter().product();
                let mut copy = vec![0.0; count];
                for form in forms {
                    form.insert(&form.extract(numbers(count), &own), &own, &mut copy);
                }
                assert_eq!(copy, numbers(count));
            }
        }
    }
}
