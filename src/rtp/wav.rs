//! Announcements as WAV files: 8 or 16 kHz, mono, 16 bit, turned into 8 kHz samples for G.711.

use std::io::Cursor;

/// Longest sound we keep in memory, in seconds.
pub const MAX_SECONDS: u32 = 120;

/// What is wrong with a WAV file, and what is wanted.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not a WAV file, or cut off.
    #[error("not a readable WAV file ({0}); save it as 8 kHz mono 16-bit PCM")]
    Unreadable(String),
    /// Another layout than the ones we take.
    #[error(
        "it is {rate} Hz, {channels} channel(s), {bits} bit {kind}; save it as 8000 or 16000 Hz, mono, 16-bit PCM"
    )]
    Layout {
        /// Samples a second.
        rate: u32,
        /// 1 is mono.
        channels: u16,
        /// Bits a sample.
        bits: u16,
        /// `integer` or `float`.
        kind: &'static str,
    },
    /// No sample in it.
    #[error("it holds no sound")]
    Empty,
    /// Longer than [`MAX_SECONDS`].
    #[error("it is longer than {MAX_SECONDS} seconds")]
    TooLong,
}

/// Reads a WAV file into 8 kHz samples. 16 kHz files are low-passed and decimated.
pub fn read(bytes: &[u8]) -> Result<Vec<i16>, Error> {
    let mut reader =
        hound::WavReader::new(Cursor::new(bytes)).map_err(|e| Error::Unreadable(e.to_string()))?;
    let spec = reader.spec();
    let integer = spec.sample_format == hound::SampleFormat::Int;
    let known_rate = matches!(spec.sample_rate, 8000 | 16000);
    if !known_rate || spec.channels != 1 || spec.bits_per_sample != 16 || !integer {
        return Err(Error::Layout {
            rate: spec.sample_rate,
            channels: spec.channels,
            bits: spec.bits_per_sample,
            kind: if integer { "integer" } else { "float" },
        });
    }
    if reader.duration() > MAX_SECONDS * spec.sample_rate {
        return Err(Error::TooLong);
    }
    let samples = reader
        .samples::<i16>()
        .collect::<Result<Vec<i16>, _>>()
        .map_err(|e| Error::Unreadable(e.to_string()))?;
    if samples.is_empty() {
        return Err(Error::Empty);
    }
    Ok(match spec.sample_rate {
        16000 => halve(&samples),
        _ => samples,
    })
}

/// Half-band low-pass, Hamming-windowed sinc of 23 taps with its corner at 4 kHz: every second
/// tap beside the middle one is zero. Taps at distance 1, 3, 5, 7, 9, 11 from the middle, in
/// 1/65536; both sides and the middle (32768) add up to 65536, so a constant passes unchanged.
const HALF_BAND: [i64; 6] = [20604, -6037, 2759, -1259, 499, -182];

/// Decimates by two after [`HALF_BAND`]; beyond the ends there is silence.
fn halve(samples: &[i16]) -> Vec<i16> {
    let at = |i: isize| -> i64 {
        usize::try_from(i)
            .ok()
            .and_then(|i| samples.get(i))
            .map_or(0, |s| i64::from(*s))
    };
    (0..samples.len().div_ceil(2))
        .map(|n| {
            let middle = (n * 2) as isize;
            let mut sum = at(middle) * 32768;
            for (k, tap) in HALF_BAND.iter().enumerate() {
                let away = (2 * k + 1) as isize;
                sum += tap * (at(middle - away) + at(middle + away));
            }
            let rounded = (sum + 32768) >> 16;
            rounded.clamp(i64::from(i16::MIN), i64::from(i16::MAX)) as i16
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(rate: u32, channels: u16, samples: &[i16]) -> Vec<u8> {
        let spec = hound::WavSpec {
            channels,
            sample_rate: rate,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let mut out = Cursor::new(Vec::new());
        let mut writer = hound::WavWriter::new(&mut out, spec).unwrap();
        for s in samples {
            writer.write_sample(*s).unwrap();
        }
        writer.finalize().unwrap();
        out.into_inner()
    }

    fn tone(rate: u32, hz: f64, seconds: f64) -> Vec<i16> {
        (0..(f64::from(rate) * seconds) as usize)
            .map(|n| {
                let phase = std::f64::consts::TAU * hz * n as f64 / f64::from(rate);
                (phase.sin() * 10000.0) as i16
            })
            .collect()
    }

    fn peak(samples: &[i16]) -> i16 {
        let inner = &samples[20..samples.len() - 20];
        inner.iter().map(|s| s.abs()).max().unwrap()
    }

    #[test]
    fn eight_kilohertz_is_taken_as_it_is() {
        let samples = [0, 1, -1, i16::MAX, i16::MIN];
        assert_eq!(read(&file(8000, 1, &samples)).unwrap(), samples);
    }

    #[test]
    fn sixteen_kilohertz_is_halved_without_aliases() {
        let kept = read(&file(16000, 1, &tone(16000, 1000.0, 0.5))).unwrap();
        assert_eq!(kept.len(), 4000);
        assert!((9900..=10100).contains(&peak(&kept)), "{}", peak(&kept));
        // 6 kHz would fold to 2 kHz; it must be gone (more than 40 dB down).
        let folded = read(&file(16000, 1, &tone(16000, 6000.0, 0.5))).unwrap();
        assert!(peak(&folded) < 100, "{}", peak(&folded));
        let constant = read(&file(16000, 1, &[1000; 200])).unwrap();
        assert!(constant[20..80].iter().all(|s| *s == 1000));
    }

    #[test]
    fn the_wrong_file_says_what_is_wanted() {
        let stereo = read(&file(8000, 2, &[0, 0])).unwrap_err();
        assert!(stereo.to_string().contains("2 channel(s)"), "{stereo}");
        let cd = read(&file(44100, 1, &[0, 0])).unwrap_err();
        assert!(cd.to_string().contains("44100 Hz"), "{cd}");
        assert!(cd.to_string().contains("8000 or 16000 Hz"), "{cd}");
        assert_eq!(read(&file(8000, 1, &[])), Err(Error::Empty));
        let long = vec![0; (MAX_SECONDS * 8000 + 1) as usize];
        assert_eq!(read(&file(8000, 1, &long)), Err(Error::TooLong));
    }

    #[test]
    fn no_bytes_panic() {
        let good = file(8000, 1, &tone(8000, 400.0, 0.05));
        for cut in 0..good.len() {
            // A cut data chunk is an error, never a shorter sound.
            assert!(read(&good[..cut]).is_err(), "{cut}");
        }
        for position in 0..44 {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut bent = good.clone();
                bent[position] = value;
                let _ = read(&bent);
            }
        }
    }

    #[test]
    fn the_built_in_announcement_is_fit_to_play() {
        let bytes = include_bytes!("../../configs/announcements/not-active.wav");
        let samples = read(bytes).unwrap();
        assert!(
            (16_000..=24_000).contains(&samples.len()),
            "2 to 3 s: {}",
            samples.len()
        );
        // Silence at both ends, speech in between at a level a phone likes.
        assert!(samples[..1200].iter().all(|s| s.abs() < 200));
        assert!(
            samples[samples.len() - 1200..]
                .iter()
                .all(|s| s.abs() < 200)
        );
        let loudest = samples.iter().map(|s| s.unsigned_abs()).max().unwrap();
        assert!((16_000..=28_000).contains(&loudest), "{loudest}");
    }
}
