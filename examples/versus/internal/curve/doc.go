// Package curve draws what something costs against how much of it there is: panels
// with logarithmic axes as one SVG, which needs no browser to be made, and the same
// points as CSV. Lines differ by colour, dashes and markers, and are legible on a
// light and on a dark page; text is text.
package curve
