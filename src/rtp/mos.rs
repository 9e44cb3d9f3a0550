//! Estimated listening quality: the E-model of ITU-T G.107, reduced to what a relay can know
//! (delay, loss, codec), with the default values of the standard for all else.
//!
//! R = 93.2 − Id − Ie,eff, where
//! - Id = 0.024·d + 0.11·(d − 177.3)·H(d − 177.3), d the one-way delay in ms: the approximation
//!   of G.107's delay impairment that Cole and Rosenbluth published in 2001;
//! - Ie,eff = Ie + (95 − Ie)·Ppl / (Ppl/BurstR + Bpl), Ppl the loss in per cent, BurstR = 1
//!   (random loss), Ie and Bpl from ITU-T G.113 Appendix I;
//! - MOS = 1 + 0.035·R + R·(R − 60)·(100 − R)·7·10⁻⁶ (G.107 Annex B), 1 for R ≤ 0, 4.5 for
//!   R ≥ 100.

/// How a codec hears and how well it bears loss (ITU-T G.113 Appendix I).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Impairment {
    /// Equipment impairment without loss.
    pub ie: f32,
    /// Packet-loss robustness.
    pub bpl: f32,
}

/// G.711 with packet loss concealment; also used for codecs G.113 gives no figures for.
pub const G711: Impairment = Impairment { ie: 0.0, bpl: 25.1 };
/// G.729A with voice activity detection.
pub const G729: Impairment = Impairment {
    ie: 11.0,
    bpl: 19.0,
};

/// Delay of packetisation and of the phone's playout buffer at its least, in milliseconds.
const TERMINAL_DELAY_MS: f32 = 40.0;

/// Mean opinion score, 1.0 to 4.5. `loss` is lost / expected, 0.0 to 1.0; `jitter_ms` counts
/// twice as playout buffer; `round_trip_ms` is halved.
pub fn estimate(codec: Impairment, loss: f32, jitter_ms: f32, round_trip_ms: f32) -> f32 {
    let delay = TERMINAL_DELAY_MS + round_trip_ms / 2.0 + 2.0 * jitter_ms;
    let late = (delay - 177.3).max(0.0);
    let id = 0.024 * delay + 0.11 * late;
    let percent = loss.clamp(0.0, 1.0) * 100.0;
    let ie_eff = codec.ie + (95.0 - codec.ie) * percent / (percent + codec.bpl);
    score(93.2 - id - ie_eff)
}

fn score(r: f32) -> f32 {
    if r <= 0.0 {
        return 1.0;
    }
    if r >= 100.0 {
        return 4.5;
    }
    // The polynomial dips just below 1 for small R.
    (1.0 + 0.035 * r + r * (r - 60.0) * (100.0 - r) * 7e-6).max(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: f32, b: f32) {
        assert!((a - b).abs() < 0.01, "{a} is not {b}");
    }

    #[test]
    fn the_scale_of_annex_b() {
        close(score(93.2), 4.41);
        close(score(80.0), 4.02);
        close(score(70.0), 3.60);
        close(score(60.0), 3.10);
        close(score(50.0), 2.58);
        close(score(-5.0), 1.0);
        close(score(3.0), 1.0);
        close(score(120.0), 4.5);
    }

    #[test]
    fn by_hand() {
        // d = 40: R = 93.2 − 0.96 = 92.24.
        close(estimate(G711, 0.0, 0.0, 0.0), 4.39);
        // 5 %: Ie,eff = 95·5/30.1 = 15.78; R = 76.46.
        close(estimate(G711, 0.05, 0.0, 0.0), 3.88);
        // d = 40 + 200 + 20 = 260: Id = 6.24 + 0.11·82.7 = 15.337; R = 77.86.
        close(estimate(G711, 0.0, 10.0, 400.0), 3.94);
        // G.729A: R = 92.24 − 11 = 81.24.
        close(estimate(G729, 0.0, 0.0, 0.0), 4.07);
    }

    #[test]
    fn bounded_and_falling() {
        let mut before = 5.0;
        for percent in 0..=100 {
            let mos = estimate(G711, percent as f32 / 100.0, 0.0, 0.0);
            assert!((1.0..=4.5).contains(&mos) && mos <= before);
            before = mos;
        }
    }
}
