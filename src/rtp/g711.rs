//! G.711 µ-law and A-law (ITU-T G.711; payload types 0 and 8, RFC 3551 §4.5.14).
//!
//! Samples are 16-bit linear: µ-law uses the upper 14 bits, A-law the upper 13.

/// µ-law's code for silence.
pub const ULAW_SILENCE: u8 = 0xff;
/// A-law's code for silence.
pub const ALAW_SILENCE: u8 = 0xd5;

/// Every µ-law code's sample.
pub const ULAW: [i16; 256] = {
    let mut table = [0; 256];
    let mut code = 0;
    while code < 256 {
        table[code] = ulaw_sample(code as u8);
        code += 1;
    }
    table
};

/// Every A-law code's sample.
pub const ALAW: [i16; 256] = {
    let mut table = [0; 256];
    let mut code = 0;
    while code < 256 {
        table[code] = alaw_sample(code as u8);
        code += 1;
    }
    table
};

/// The bias that makes µ-law's segment borders powers of two, in 16-bit units.
const BIAS: i32 = 132;
/// The loudest magnitude µ-law can code, in 16-bit units.
const CLIP: i32 = 32635;

/// A sample as µ-law.
pub fn ulaw_encode(sample: i16) -> u8 {
    let sign = if sample < 0 { 0x80 } else { 0 };
    let magnitude = i32::from(sample).abs().min(CLIP) + BIAS;
    // The biased magnitude lies in 2^7..2^15: its highest bit names the segment.
    let segment = (24 - magnitude.leading_zeros()) as i32;
    let step = (magnitude >> (segment + 3)) & 0x0f;
    !(sign | ((segment as u8) << 4) | step as u8)
}

/// A sample as A-law.
pub fn alaw_encode(sample: i16) -> u8 {
    // Negative values are coded as the ones' complement, so that both zeros are distinct.
    let (sign, magnitude) = if sample < 0 {
        (0, i32::from(!sample) >> 3)
    } else {
        (0x80, i32::from(sample) >> 3)
    };
    let segment = 27_u32.saturating_sub(magnitude.leading_zeros()).min(7);
    let step = (magnitude >> segment.max(1)) & 0x0f;
    // Even bits are inverted on the line.
    (sign | ((segment as u8) << 4) | step as u8) ^ 0x55
}

/// A µ-law code's sample.
pub fn ulaw_decode(code: u8) -> i16 {
    ULAW[usize::from(code)]
}

/// An A-law code's sample.
pub fn alaw_decode(code: u8) -> i16 {
    ALAW[usize::from(code)]
}

const fn ulaw_sample(code: u8) -> i16 {
    let code = !code;
    let segment = (code >> 4) & 7;
    let step = (code & 0x0f) as i32;
    let magnitude = (((step << 3) + BIAS) << segment) - BIAS;
    if code & 0x80 != 0 {
        -magnitude as i16
    } else {
        magnitude as i16
    }
}

const fn alaw_sample(code: u8) -> i16 {
    let code = code ^ 0x55;
    let segment = (code >> 4) & 7;
    let step = (code & 0x0f) as i32;
    // Half a step is added: the middle of the interval.
    let magnitude = match segment {
        0 => (step << 4) + 8,
        _ => ((step << 4) + 0x108) << (segment - 1),
    };
    if code & 0x80 != 0 {
        magnitude as i16
    } else {
        -magnitude as i16
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reference_points_of_the_mu_law_table() {
        // G.711 table 2a/2b, decoder values times four.
        let points = [
            (0xff, 0),
            (0x7f, 0),
            (0xfe, 8),
            (0x7e, -8),
            (0xf0, 120),
            (0xef, 132),
            (0xe0, 372),
            (0xdf, 396),
            (0x80, 32124),
            (0x00, -32124),
        ];
        for (code, sample) in points {
            assert_eq!(ulaw_decode(code), sample, "{code:#x}");
        }
        assert_eq!(ulaw_encode(0), ULAW_SILENCE);
        assert_eq!(ulaw_encode(i16::MAX), 0x80);
        assert_eq!(ulaw_encode(i16::MIN), 0x00);
    }

    #[test]
    fn reference_points_of_the_a_law_table() {
        // G.711 table 1a/1b, decoder values times eight (times sixteen of the half steps).
        let points = [
            (0xd5, 8),
            (0x55, -8),
            (0xd4, 24),
            (0xc5, 264),
            (0xf5, 528),
            (0xaa, 32256),
            (0x2a, -32256),
        ];
        for (code, sample) in points {
            assert_eq!(alaw_decode(code), sample, "{code:#x}");
        }
        assert_eq!(alaw_encode(0), ALAW_SILENCE);
        assert_eq!(alaw_encode(i16::MAX), 0xaa);
        assert_eq!(alaw_encode(i16::MIN), 0x2a);
    }

    #[test]
    fn every_code_survives_and_every_sample_goes_to_its_nearest() {
        for code in 0..=255 {
            // µ-law has two zeros; the positive one is written.
            let expected = if code == 0x7f { 0xff } else { code };
            assert_eq!(ulaw_encode(ulaw_decode(code)), expected, "{code:#x}");
            assert_eq!(alaw_encode(alaw_decode(code)), code, "{code:#x}");
        }
        for sample in i16::MIN..=i16::MAX {
            let value = i32::from(sample);
            let u = i32::from(ulaw_decode(ulaw_encode(sample)));
            let a = i32::from(alaw_decode(alaw_encode(sample)));
            // Half of the largest step of the segment, and the clipped end.
            assert!(
                (u - value).abs() <= 4 + value.abs() / 16 + 132 / 16,
                "{sample} {u}"
            );
            assert!(
                (a - value).abs() <= 8 + value.abs() / 32 + 1,
                "{sample} {a}"
            );
        }
    }
}
