//! Draws from the exponential distribution.

use std::sync::LazyLock;

use rand_pcg::rand_core::Rng;

use super::rng::unit;

/// Layers of the ziggurat.
const LAYERS: usize = 256;
/// Where the tail begins, and the area of every layer, for 256 layers (Marsaglia, Tsang, JSS 2000).
const TAIL_START: f64 = 7.697_117_470_131_05;
const LAYER_AREA: f64 = 0.003_949_659_822_581_557;

/// The exponential distribution of mean 1, by the ziggurat of Marsaglia and Tsang, 256 layers.
///
/// The tables and the rare branches use `libm` alone.
#[derive(Debug)]
pub struct Exponential {
    layers: [Layer; LAYERS],
}

/// A layer: a rectangle of width `width` whose lower right corner sticks out of the curve.
#[derive(Clone, Copy, Debug, Default)]
struct Layer {
    /// Its width, over 2^53.
    step: f64,
    /// Below this `x`, the layer lies wholly under the curve.
    inner: f64,
    /// The curve at the layer's outer and inner edge.
    low: f64,
    high: f64,
}

static EXPONENTIAL: LazyLock<Exponential> = LazyLock::new(Exponential::new);

impl Exponential {
    /// The tables, built at first use.
    #[must_use]
    pub fn tables() -> &'static Self {
        &EXPONENTIAL
    }

    fn new() -> Self {
        let steps = (1_u64 << 53) as f64;
        // The lowest layer holds the tail: its rectangle is as wide as its area wants it.
        let width = LAYER_AREA / libm::exp(-TAIL_START);
        let mut layers = [Layer { step: width / steps, inner: TAIL_START, low: 0.0, high: 0.0 }; LAYERS];
        let mut outer = TAIL_START;
        for layer in &mut layers[1..] {
            let low = libm::exp(-outer);
            let high = low + LAYER_AREA / outer;
            *layer = Layer { step: outer / steps, inner: -libm::log(high), low, high };
            outer = layer.inner;
        }
        // The topmost layer ends where the curve begins, whatever rounding left.
        layers[LAYERS - 1].inner = 0.0;
        layers[LAYERS - 1].high = 1.0;
        Self { layers }
    }

    /// One draw.
    #[inline]
    pub fn draw<R: Rng + Clone>(&self, rng: &mut R) -> f64 {
        loop {
            // The low 8 bits choose the layer, the high 53 the place in it.
            let bits = rng.next_u64();
            let layer = &self.layers[(bits & 0xFF) as usize];
            let x = (bits >> 11) as f64 * layer.step;
            if x < layer.inner {
                return x;
            }
            let (edge, after) = self.draw_at_edge(bits, x, rng.clone());
            *rng = after;
            if let Some(x) = edge {
                return x;
            }
        }
    }

    /// The 1 % of draws that do not fall wholly under the curve. The generator goes in and out by value:
    /// a reference to it would keep it in memory all through the caller's loop.
    #[cold]
    fn draw_at_edge<R: Rng>(&self, bits: u64, x: f64, mut rng: R) -> (Option<f64>, R) {
        let index = (bits & 0xFF) as usize;
        let unit = unit(rng.next_u64());
        if index == 0 {
            // The tail of an exponential is an exponential; 1 - unit is never 0.
            return (Some(TAIL_START - libm::log(1.0 - unit)), rng);
        }
        let layer = &self.layers[index];
        let y = layer.low + (layer.high - layer.low) * unit;
        ((y < libm::exp(-x)).then_some(x), rng)
    }
}
