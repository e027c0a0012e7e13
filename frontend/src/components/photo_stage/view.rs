//! Geometry of a zoomed photo. Lengths are CSS pixels.

/// A photo this many times wider or higher than its frame initially fills the frame instead of fitting into it.
const FILL_RATIO: f64 = 2.2;
/// The maximum zoom relative to 100 %.
const MAX_OVERZOOM: f64 = 2.0;

/// The zoom and position of a photo. `scale` is 1 if the photo fits; `x` and `y` are the offset of its center.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct PhotoTransform {
    pub(crate) scale: f64,
    pub(crate) x: f64,
    pub(crate) y: f64,
}

impl PhotoTransform {
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
pub(crate) struct StageFrame {
    width: f64,
    height: f64,
    /// The size of the fitted photo.
    fitted: (f64, f64),
    /// The scale at which one image pixel is one screen pixel.
    full: f64,
}

impl StageFrame {
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
            // Small photos can be zoomed too.
            full: (pixels / fitted.0).max(2.0),
        }
    }

    pub(crate) fn start(&self) -> PhotoTransform {
        let fill = (self.width / self.fitted.0).max(self.height / self.fitted.1);
        let scale = if fill > FILL_RATIO {
            fill.min(self.full)
        } else {
            1.0
        };
        PhotoTransform {
            scale,
            ..PhotoTransform::FIT
        }
    }

    /// Zooms around a point relative to the center of the frame.
    pub(crate) fn zoom(&self, view: PhotoTransform, scale: f64, (x, y): (f64, f64)) -> PhotoTransform {
        let scale = scale.clamp(1.0, self.full * MAX_OVERZOOM);
        let by = scale / view.scale;
        self.clamp(PhotoTransform {
            scale,
            x: x - (x - view.x) * by,
            y: y - (y - view.y) * by,
        })
    }

    /// Switches between 100 % and fit.
    pub(crate) fn toggle(&self, view: PhotoTransform, at: (f64, f64)) -> PhotoTransform {
        if view.is_enlarged() {
            PhotoTransform::FIT
        } else {
            self.zoom(view, self.full, at)
        }
    }

    pub(crate) fn pan(&self, view: PhotoTransform, (x, y): (f64, f64)) -> PhotoTransform {
        self.clamp(PhotoTransform {
            x: view.x + x,
            y: view.y + y,
            ..view
        })
    }

    /// The displayed width of the photo.
    pub(crate) fn drawn_width(&self, view: PhotoTransform) -> f64 {
        self.fitted.0 * view.scale
    }

    /// Limits the offset, so that no empty space appears beside the photo.
    fn clamp(&self, view: PhotoTransform) -> PhotoTransform {
        let most = |frame: f64, side: f64| ((side * view.scale - frame) / 2.0).max(0.0);
        let (x, y) = (most(self.width, self.fitted.0), most(self.height, self.fitted.1));
        PhotoTransform {
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
        assert_eq!(StageFrame::new(FRAME, 1.5, 3000.0).start(), PhotoTransform::FIT);
        let panorama = StageFrame::new(FRAME, 6.0, 6000.0);
        assert!((panorama.start().scale - 4.8).abs() < 0.01);
        let few_pixels = StageFrame::new(FRAME, 6.0, 2000.0);
        assert!((few_pixels.start().scale - 2.0).abs() < 0.01);
    }

    #[test]
    fn zooming_keeps_the_point_under_the_pointer() {
        let frame = StageFrame::new(FRAME, 1.25, 4000.0);
        let view = frame.toggle(PhotoTransform::FIT, (100.0, -50.0));
        assert_eq!(
            view,
            PhotoTransform {
                scale: 4.0,
                x: -300.0,
                y: 150.0
            }
        );
        assert_eq!(frame.toggle(view, (0.0, 0.0)), PhotoTransform::FIT);
        assert!(frame.zoom(view, 1000.0, (0.0, 0.0)).scale <= 8.0);
    }

    #[test]
    fn no_edge_is_dragged_into_the_frame() {
        let frame = StageFrame::new(FRAME, 1.25, 2000.0);
        let view = frame.toggle(PhotoTransform::FIT, (0.0, 0.0));
        assert_eq!(
            (frame.pan(view, (9e9, -9e9)).x, frame.pan(view, (9e9, -9e9)).y),
            (500.0, -400.0)
        );
        assert_eq!(frame.pan(PhotoTransform::FIT, (30.0, 30.0)), PhotoTransform::FIT);
    }
}
