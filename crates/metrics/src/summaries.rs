//! Summary values as TensorBoard's tabs expect them.

use protobuf::RepeatedField;
use tensorboard_proto::summary::{
    HistogramProto, Summary_Image, Summary_Value, SummaryMetadata, SummaryMetadata_PluginData,
};
use tensorboard_proto::tensor::TensorProto;
use tensorboard_proto::tensor_shape::{TensorShapeProto, TensorShapeProto_Dim};
use tensorboard_proto::types::DataType;

/// Number of equal-width bins of a histogram, as in TensorBoard's own writer.
const BINS: usize = 30;

/// A point of a curve. TensorBoard keeps 32 bits of it.
pub(crate) fn scalar(tag: &str, value: f64) -> Summary_Value {
    let mut summary = named(tag);
    summary.set_simple_value(value as f32);
    summary
}

/// A histogram with equal-width bins between the smallest and the largest finite value; none if there is no finite value.
pub(crate) fn histogram(tag: &str, values: &[f64]) -> Option<Summary_Value> {
    let values: Vec<f64> = values
        .iter()
        .copied()
        .filter(|value| value.is_finite())
        .collect();
    let smallest = values.iter().copied().reduce(f64::min)?;
    let largest = values.iter().copied().reduce(f64::max)?;
    // All values equal: one bin of width 1 around them.
    let (low, high) = if smallest < largest {
        (smallest, largest)
    } else {
        (smallest - 0.5, largest + 0.5)
    };
    let width = (high - low) / BINS as f64;
    let mut counts = vec![0.0; BINS];
    for value in &values {
        let bin = ((value - low) / width) as usize;
        counts[bin.min(BINS - 1)] += 1.0;
    }
    let mut limits: Vec<f64> = (1..=BINS).map(|bin| low + width * bin as f64).collect();
    limits[BINS - 1] = high;
    let mut proto = HistogramProto::new();
    proto.set_min(low);
    proto.set_max(high);
    proto.set_num(values.len() as f64);
    proto.set_sum(values.iter().sum());
    proto.set_sum_squares(values.iter().map(|value| value * value).sum());
    proto.set_bucket_limit(limits);
    proto.set_bucket(counts);
    let mut summary = named(tag);
    summary.set_histo(proto);
    Some(summary)
}

/// A text, shown as Markdown.
pub(crate) fn text(tag: &str, text: &str) -> Summary_Value {
    let mut one = TensorShapeProto_Dim::new();
    one.set_size(1);
    let mut shape = TensorShapeProto::new();
    shape.set_dim(RepeatedField::from_vec(vec![one]));
    let mut tensor = strings(vec![text.as_bytes().to_vec()]);
    tensor.set_tensor_shape(shape);
    let mut summary = named(tag);
    summary.set_metadata(plugin("text", Vec::new()));
    summary.set_tensor(tensor);
    summary
}

/// A picture; none if `png` is not a PNG file.
pub(crate) fn image(tag: &str, png: &[u8]) -> Option<Summary_Value> {
    // Signature, then the header chunk: length and name (8 bytes), width, height (big-endian), bit depth, colour type.
    let header = png.strip_prefix(b"\x89PNG\r\n\x1a\n")?.get(8..18)?;
    let number =
        |at: usize| u32::from_be_bytes(header[at..at + 4].try_into().expect("four bytes")) as i32;
    let colorspace = match header[9] {
        0 => 1,     // grey
        4 => 2,     // grey with alpha
        2 | 3 => 3, // colour, palette
        6 => 4,     // colour with alpha
        _ => return None,
    };
    let mut proto = Summary_Image::new();
    proto.set_width(number(0));
    proto.set_height(number(4));
    proto.set_colorspace(colorspace);
    proto.set_encoded_image_string(png.to_vec());
    let mut summary = named(tag);
    summary.set_image(proto);
    Some(summary)
}

/// A value that only carries `content` for `plugin_name`, with the empty float tensor that readers want beside it.
pub(crate) fn plugin_only(tag: &str, plugin_name: &str, content: Vec<u8>) -> Summary_Value {
    let mut none = TensorShapeProto_Dim::new();
    none.set_size(0);
    let mut shape = TensorShapeProto::new();
    shape.set_dim(RepeatedField::from_vec(vec![none]));
    let mut tensor = TensorProto::new();
    tensor.set_dtype(DataType::DT_FLOAT);
    tensor.set_tensor_shape(shape);
    let mut summary = named(tag);
    summary.set_metadata(plugin(plugin_name, content));
    summary.set_tensor(tensor);
    summary
}

/// A value whose tensor is one string of bytes, without dimensions.
pub(crate) fn bytes(tag: &str, plugin_name: &str, content: Vec<u8>) -> Summary_Value {
    let mut tensor = strings(vec![content]);
    tensor.set_tensor_shape(TensorShapeProto::new());
    let mut summary = named(tag);
    summary.set_metadata(plugin(plugin_name, Vec::new()));
    summary.set_tensor(tensor);
    summary
}

fn named(tag: &str) -> Summary_Value {
    let mut summary = Summary_Value::new();
    summary.set_tag(tag.to_owned());
    summary
}

fn strings(content: Vec<Vec<u8>>) -> TensorProto {
    let mut tensor = TensorProto::new();
    tensor.set_dtype(DataType::DT_STRING);
    tensor.set_string_val(RepeatedField::from_vec(content));
    tensor
}

fn plugin(name: &str, content: Vec<u8>) -> SummaryMetadata {
    let mut data = SummaryMetadata_PluginData::new();
    data.set_plugin_name(name.to_owned());
    data.set_content(content);
    let mut metadata = SummaryMetadata::new();
    metadata.set_plugin_data(data);
    metadata
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_counts_every_finite_value_once() {
        let values = [-1.0, 0.0, 0.5, 2.0, f64::NAN, f64::INFINITY, 2.0];
        let summary = histogram("h", &values).unwrap();
        let proto = summary.get_histo();
        assert_eq!(proto.get_bucket().iter().sum::<f64>(), 5.0);
        assert_eq!(proto.get_num(), 5.0);
        assert_eq!((proto.get_min(), proto.get_max()), (-1.0, 2.0));
        assert_eq!(proto.get_bucket()[BINS - 1], 2.0);
        assert!(proto.get_bucket_limit().is_sorted());
    }

    #[test]
    fn equal_values_and_no_values_are_fine() {
        let summary = histogram("h", &[3.0, 3.0]).unwrap();
        assert_eq!(summary.get_histo().get_bucket().iter().sum::<f64>(), 2.0);
        assert!(histogram("h", &[f64::NAN]).is_none());
        assert!(histogram("h", &[]).is_none());
    }

    #[test]
    fn what_is_not_a_png_file_is_no_image() {
        assert!(image("i", b"GIF89a").is_none());
        assert!(image("i", b"\x89PNG\r\n\x1a\n").is_none());
    }
}
