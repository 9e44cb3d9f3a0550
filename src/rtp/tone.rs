//! Ringback as each country knows it (ITU-T E.180 supplement 2), computed as 8 kHz samples.

/// Samples a second.
const RATE: u32 = 8000;

/// One period of a country's ringback: tones, and how long they sound and rest.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ringback {
    /// Frequencies that sound together, in hertz.
    tones_hz: &'static [f64],
    /// The tone is amplitude-modulated with this frequency, in hertz; 0 = not.
    modulation_hz: f64,
    /// Milliseconds on and off, in turn.
    cadence_ms: &'static [u32],
}

/// Peak of all tones together: −13 dB below full scale, a network tone's usual loudness.
const PEAK: f64 = 7000.0;

impl Ringback {
    /// The ringback of a country calling code; the European one where we know no better.
    pub fn of(country_code: &str) -> Ringback {
        match country_code.trim_start_matches('+') {
            "91" => Ringback {
                tones_hz: &[400.0],
                modulation_hz: 25.0,
                cadence_ms: &[400, 200, 400, 2000],
            },
            "44" => Ringback {
                tones_hz: &[400.0, 450.0],
                modulation_hz: 0.0,
                cadence_ms: &[400, 200, 400, 2000],
            },
            "1" => Ringback {
                tones_hz: &[440.0, 480.0],
                modulation_hz: 0.0,
                cadence_ms: &[2000, 4000],
            },
            _ => Ringback {
                tones_hz: &[425.0],
                modulation_hz: 0.0,
                cadence_ms: &[1000, 4000],
            },
        }
    }

    /// One whole period as samples; it can be repeated without end.
    pub fn samples(&self) -> Vec<i16> {
        let mut samples = Vec::new();
        for (n, ms) in self.cadence_ms.iter().enumerate() {
            let on = n % 2 == 0;
            // Each burst starts at phase 0, so that bursts begin without a click.
            samples.extend((0..ms * RATE / 1000).map(|i| if on { self.at(i) } else { 0 }));
        }
        samples
    }

    fn at(&self, sample: u32) -> i16 {
        let turn = std::f64::consts::TAU * f64::from(sample) / f64::from(RATE);
        let sum: f64 = self.tones_hz.iter().map(|hz| (turn * hz).sin()).sum();
        let tone = sum / self.tones_hz.len() as f64;
        let envelope = match self.modulation_hz > 0.0 {
            true => (1.0 + (turn * self.modulation_hz).cos()) / 2.0,
            false => 1.0,
        };
        (PEAK * tone * envelope) as i16
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Energy of one frequency (Goertzel), relative to a full PEAK sine.
    fn energy(samples: &[i16], hz: f64) -> f64 {
        let w = std::f64::consts::TAU * hz / f64::from(RATE);
        let (mut re, mut im) = (0.0, 0.0);
        for (n, s) in samples.iter().enumerate() {
            re += f64::from(*s) * (w * n as f64).cos();
            im += f64::from(*s) * (w * n as f64).sin();
        }
        (re * re + im * im).sqrt() * 2.0 / samples.len() as f64 / PEAK
    }

    #[test]
    fn india_rings_twice_in_three_seconds() {
        let samples = Ringback::of("91").samples();
        assert_eq!(samples.len(), 24_000);
        let loud = |from_ms: usize, to_ms: usize| {
            let part = &samples[from_ms * 8..to_ms * 8];
            part.iter().any(|s| s.abs() > 1000)
        };
        assert!(loud(0, 400) && loud(600, 1000));
        assert!(!loud(400, 600) && !loud(1000, 3000));
        // 400 Hz carrier with side bands at 375 and 425 Hz.
        let burst = &samples[..3200];
        assert!((energy(burst, 400.0) - 0.5).abs() < 0.05);
        assert!((energy(burst, 375.0) - 0.25).abs() < 0.05);
        assert!((energy(burst, 425.0) - 0.25).abs() < 0.05);
        assert!(energy(burst, 1000.0) < 0.02);
    }

    #[test]
    fn others_ring_their_own_way() {
        assert_eq!(Ringback::of("+44").samples().len(), 24_000);
        assert_eq!(Ringback::of("1").samples().len(), 48_000);
        assert_eq!(Ringback::of("49").samples().len(), 40_000);
        let loudest = |code| Ringback::of(code).samples().into_iter().max().unwrap();
        for code in ["91", "44", "1", "49"] {
            assert!((5000..=7000).contains(&loudest(code)), "{code}");
        }
    }
}
