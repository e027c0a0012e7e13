//! Where an enlarged photo stands in its frame. Lengths are CSS pixels.

/// A photo this many times wider or higher than its frame starts filled instead of fitted: fitted, a panorama would be a
/// strip.
const PANORAMA: f64 = 2.2;
/// Beyond 100 %, a photo can be enlarged this much further.
const BEYOND_FULL: f64 = 2.0;

/// `scale` is 1 where the photo fits; `x` and `y` are how far its middle is from that of the frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct View {
    pub(crate) scale: f64,
    pub(crate) x: f64,
    pub(crate) y: f64,
}

impl View {
    pub(crate) const FIT: Self = Self {
        scale: 1.0,
        x: 0.0,
        y: 0.0,
    };

    pub(crate) fn is_enlarged(self) -> bool {
        self.scale > 1.001
    }
}

/// A frame and the photo in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame {
    width: f64,
    height: f64,
    /// The photo's sides where it fits.
    fitted: (f64, f64),
    /// The scale at which one pixel of the picture is one of the screen.
    full: f64,
}

impl Frame {
    /// `ratio` is the photo's width over its height, `pixels` the width of its widest file.
    pub(crate) fn new((width, height): (f64, f64), ratio: f64, pixels: f64) -> Self {
        let fitted = if width / height > ratio {
            (height * ratio, height)
        } else {
            (width, width / ratio)
        };
        Self {
            width,
            height,
            fitted,
            // A small picture can be enlarged too.
            full: (pixels / fitted.0).max(2.0),
        }
    }

    pub(crate) fn start(&self) -> View {
        let fill = (self.width / self.fitted.0).max(self.height / self.fitted.1);
        let scale = if fill > PANORAMA { fill.min(self.full) } else { 1.0 };
        View { scale, ..View::FIT }
    }

    /// Enlarges around a point, given from the middle of the frame: what is there stays there.
    pub(crate) fn zoom(&self, view: View, scale: f64, (x, y): (f64, f64)) -> View {
        let scale = scale.clamp(1.0, self.full * BEYOND_FULL);
        let by = scale / view.scale;
        self.clamp(View {
            scale,
            x: x - (x - view.x) * by,
            y: y - (y - view.y) * by,
        })
    }

    /// Between 100 % and fitted.
    pub(crate) fn toggle(&self, view: View, at: (f64, f64)) -> View {
        if view.is_enlarged() {
            View::FIT
        } else {
            self.zoom(view, self.full, at)
        }
    }

    pub(crate) fn pan(&self, view: View, (x, y): (f64, f64)) -> View {
        self.clamp(View {
            x: view.x + x,
            y: view.y + y,
            ..view
        })
    }

    /// How wide the photo is drawn.
    pub(crate) fn drawn_width(&self, view: View) -> f64 {
        self.fitted.0 * view.scale
    }

    /// No edge of the photo comes further in than the frame's, and what fits stays in the middle.
    fn clamp(&self, view: View) -> View {
        let most = |frame: f64, side: f64| ((side * view.scale - frame) / 2.0).max(0.0);
        let (x, y) = (most(self.width, self.fitted.0), most(self.height, self.fitted.1));
        View {
            scale: view.scale,
            x: view.x.clamp(-x, x),
            y: view.y.clamp(-y, y),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: (f64, f64) = (1000.0, 800.0);

    #[test]
    fn a_photo_fits_and_a_panorama_fills_the_height() {
        assert_eq!(Frame::new(FRAME, 1.5, 3000.0).start(), View::FIT);
        let panorama = Frame::new(FRAME, 6.0, 6000.0);
        assert!((panorama.start().scale - 4.8).abs() < 0.01);
        let few_pixels = Frame::new(FRAME, 6.0, 2000.0);
        assert!((few_pixels.start().scale - 2.0).abs() < 0.01);
    }

    #[test]
    fn zooming_keeps_the_point_under_the_pointer() {
        let frame = Frame::new(FRAME, 1.25, 4000.0);
        let view = frame.toggle(View::FIT, (100.0, -50.0));
        assert_eq!(
            view,
            View {
                scale: 4.0,
                x: -300.0,
                y: 150.0
            }
        );
        assert_eq!(frame.toggle(view, (0.0, 0.0)), View::FIT);
        assert!(frame.zoom(view, 1000.0, (0.0, 0.0)).scale <= 8.0);
    }

    #[test]
    fn no_edge_is_dragged_into_the_frame() {
        let frame = Frame::new(FRAME, 1.25, 2000.0);
        let view = frame.toggle(View::FIT, (0.0, 0.0));
        assert_eq!(
            (frame.pan(view, (9e9, -9e9)).x, frame.pan(view, (9e9, -9e9)).y),
            (500.0, -400.0)
        );
        assert_eq!(frame.pan(View::FIT, (30.0, 30.0)), View::FIT);
    }
}
