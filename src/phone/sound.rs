//! G.711 µ-law (ITU-T G.711), test tones and their detection by the Goertzel algorithm: the
//! phones' own, independent of `crate::rtp`.

/// Samples per second of every sound here.
pub const SAMPLE_RATE: u32 = 8_000;
/// Samples in one packet of 20 ms.
pub const FRAME: usize = 160;

/// Added before the logarithm in µ-law (G.711 table 2a): 33 on the 14-bit scale, 132 on ours.
const BIAS: i32 = 132;
/// Largest magnitude µ-law codes on the 16-bit scale.
const CLIP: i32 = 32_635;

/// One 16-bit sample as µ-law.
pub fn ulaw(sample: i16) -> u8 {
    let sign = if sample < 0 { 0x80 } else { 0 };
    let magnitude = i32::from(sample).abs().min(CLIP) + BIAS;
    // The segment is the position of the highest bit above bit 7; magnitude is 132 to 32767.
    let segment = 31 - magnitude.leading_zeros() as i32 - 7;
    let step = (magnitude >> (segment + 3)) & 0x0f;
    !(sign | (segment << 4) | step) as u8
}

/// One µ-law byte as a 16-bit sample.
pub fn linear(code: u8) -> i16 {
    let code = i32::from(!code);
    let (segment, step) = ((code >> 4) & 7, code & 0x0f);
    let magnitude = (((step << 3) + BIAS) << segment) - BIAS;
    // At most 32124, so it fits.
    (if code & 0x80 == 0 {
        magnitude
    } else {
        -magnitude
    }) as i16
}

/// A sine of `hertz`, `samples` long, at a third of full scale.
pub fn tone(hertz: f64, samples: usize) -> Vec<i16> {
    let step = std::f64::consts::TAU * hertz / f64::from(SAMPLE_RATE);
    (0..samples)
        .map(|n| ((n as f64 * step).sin() * 10_000.0) as i16)
        .collect()
}

/// The share of a sound's power that lies at `hertz`: 1.0 for a pure tone, 0 for silence.
///
/// Goertzel's recursion, which is one bin of a Fourier transform.
pub fn share_at(samples: &[i16], hertz: f64) -> f64 {
    let turn = std::f64::consts::TAU * hertz / f64::from(SAMPLE_RATE);
    let factor = 2.0 * turn.cos();
    let (mut last, mut before) = (0.0_f64, 0.0_f64);
    let mut energy = 0.0_f64;
    for sample in samples {
        let x = f64::from(*sample);
        energy += x * x;
        (last, before) = (x + factor * last - before, last);
    }
    if energy == 0.0 {
        return 0.0;
    }
    let power = last * last + before * before - factor * last * before;
    2.0 * power / (energy * samples.len() as f64)
}

/// Root mean square of a sound, in sample steps.
pub fn loudness(samples: &[i16]) -> f64 {
    let energy: f64 = samples.iter().map(|s| f64::from(*s).powi(2)).sum();
    (energy / samples.len().max(1) as f64).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ulaw_known_points() {
        // G.711 table 2a: zero, full scale and the first decision values of either sign.
        assert_eq!((ulaw(0), ulaw(32_767), ulaw(-32_768)), (0xff, 0x80, 0x00));
        assert_eq!(
            (linear(0xff), linear(0x80), linear(0x00)),
            (0, 32_124, -32_124)
        );
        assert_eq!((linear(0xfe), linear(0x7e)), (8, -8));
    }

    #[test]
    fn ulaw_of_a_decoded_byte_is_the_byte() {
        for code in 0..=255_u8 {
            // 0x7f is minus zero: it decodes to 0, which has one code only.
            let expected = if code == 0x7f { 0xff } else { code };
            assert_eq!(ulaw(linear(code)), expected, "{code:#x}");
        }
    }

    #[test]
    fn ulaw_error_stays_within_half_a_step() {
        for sample in (-32_635..=32_635).step_by(7) {
            let sample = sample as i16;
            let error = (i32::from(linear(ulaw(sample))) - i32::from(sample)).abs();
            assert!(
                error <= (i32::from(sample).abs() + BIAS) / 32 + 1,
                "{sample}: {error}"
            );
        }
    }

    #[test]
    fn a_tone_is_found_and_only_where_it_is() {
        let through: Vec<i16> = tone(700.0, 4_000)
            .iter()
            .map(|s| linear(ulaw(*s)))
            .collect();
        assert!(share_at(&through, 700.0) > 0.95);
        assert!(share_at(&through, 1_100.0) < 0.05);
        assert!(share_at(&[0; 800], 700.0).abs() < f64::EPSILON);
        assert!(loudness(&through) > 5_000.0);
    }
}
