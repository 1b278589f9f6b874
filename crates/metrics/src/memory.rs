//! A sink that keeps everything, for tests.

use crate::{Image, Metric, Sink, SinkError, Text};

/// Everything that was logged, in the order in which it came.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Memory {
    /// Step, metric, value.
    pub scalars: Vec<(u64, Metric, f64)>,
    /// Step, metric, values.
    pub histograms: Vec<(u64, Metric, Vec<f64>)>,
    /// Step, tag, text.
    pub texts: Vec<(u64, Text, String)>,
    /// Step, tag, bytes of the PNG file.
    pub images: Vec<(u64, Image, Vec<u8>)>,
}

impl Memory {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// The values of `metric` with their steps, in the order in which they came.
    pub fn series(&self, metric: Metric) -> Vec<(u64, f64)> {
        let of_metric = self
            .scalars
            .iter()
            .filter(|(_, logged, _)| *logged == metric);
        of_metric.map(|&(step, _, value)| (step, value)).collect()
    }

    /// The value of `metric` logged last.
    pub fn last(&self, metric: Metric) -> Option<f64> {
        self.series(metric).last().map(|&(_, value)| value)
    }
}

impl Sink for Memory {
    fn scalar(&mut self, step: u64, metric: Metric, value: f64) -> Result<(), SinkError> {
        self.scalars.push((step, metric, value));
        Ok(())
    }

    fn histogram(&mut self, step: u64, metric: Metric, values: &[f64]) -> Result<(), SinkError> {
        self.histograms.push((step, metric, values.to_vec()));
        Ok(())
    }

    fn text(&mut self, step: u64, tag: Text, text: &str) -> Result<(), SinkError> {
        self.texts.push((step, tag, text.to_owned()));
        Ok(())
    }

    fn image(&mut self, step: u64, tag: Image, png: &[u8]) -> Result<(), SinkError> {
        self.images.push((step, tag, png.to_vec()));
        Ok(())
    }

    fn flush(&mut self) -> Result<(), SinkError> {
        Ok(())
    }
}
