//! Resident memory over time, and whether it grows.

/// Samples: seconds since the start, and KiB.
#[derive(Default)]
pub(super) struct Memory(Vec<(f64, f64)>);

impl Memory {
    pub(super) fn add(&mut self, seconds: f64, kib: u64) {
        self.0.push((seconds, kib as f64));
    }

    /// By how many KiB it grows each second, over the second half: the slope of the line through the samples, by least
    /// squares.
    pub(super) fn slope(&self) -> f64 {
        let samples = &self.0[self.0.len() / 2..];
        let mean = |of: fn(&(f64, f64)) -> f64| samples.iter().map(of).sum::<f64>() / samples.len() as f64;
        let (x, y) = (mean(|sample| sample.0), mean(|sample| sample.1));
        let (above, below) = samples.iter().fold((0.0, 0.0), |(above, below), sample| {
            (above + (sample.0 - x) * (sample.1 - y), below + (sample.0 - x).powi(2))
        });
        above / below
    }

    /// Some of the samples, in MiB, and the largest of all.
    pub(super) fn summary(&self) -> String {
        let mib = |kib: f64| format!("{:.1}", kib / 1024.0);
        let some: Vec<String> = self.0.iter().step_by((self.0.len() / 10).max(1)).map(|(_, kib)| mib(*kib)).collect();
        let most = self.0.iter().map(|(_, kib)| *kib).fold(0.0, f64::max);
        format!("{}, at most {}", some.join(" "), mib(most))
    }
}
