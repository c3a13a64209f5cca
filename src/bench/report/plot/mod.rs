//! Pictures as SVG: lines over an axis, and bars to compare.
//!
//! Why not a library: those at hand fix colours and round to pixels, so a picture can't follow the
//! reader's light or dark mode and labels of unusual axes run into each other.
//!
//! P1. A picture is complete in itself: no script, no font file, nothing to load.
//! P2. Colours are variables with values for light, dark and print; text never relies on what is
//!     behind the picture when it is a file of its own ([`Surface::File`]).
//! P3. Labels never overlap: widths are estimated generously, and what does not fit is left out.
//! P4. The size of a picture is bounded by its pixels, not by the number of points.

mod axis;
mod bars;
mod lines;
mod sample;
mod svg;

pub use axis::{Axis, Scale, Unit, nines};
pub use bars::{Bar, BarGroup, BarOrder, BarPlot, bars};
pub use lines::{Colour, LinePlot, Mark, Series, Shape, lines};
pub use svg::{STYLE, Size, Surface, escaped};
