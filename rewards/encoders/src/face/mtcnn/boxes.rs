//! Boxes around faces: regression, squaring, and the suppression of those that overlap.

/// A candidate: corners in pixels, probability, and what a network says of it besides.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Candidate {
    /// Left, top, right, bottom.
    pub(super) corners: [f32; 4],
    pub(super) score: f32,
    /// Offsets of the corners, in widths and heights of the box.
    pub(super) offsets: [f32; 4],
    /// Landmarks in pixels, x and y.
    pub(super) landmarks: [[f32; 2]; 5],
}

impl Candidate {
    /// Moves the corners by the offsets. `one` is what a side is longer than the difference of its corners.
    pub(super) fn regress(&mut self, one: f32) {
        let [left, top, right, bottom] = self.corners;
        let sides = [right - left + one, bottom - top + one];
        for (i, corner) in self.corners.iter_mut().enumerate() {
            *corner += self.offsets[i] * sides[i % 2];
        }
    }

    /// The square around the same centre with the longer side.
    pub(super) fn square(&mut self) {
        let [left, top, right, bottom] = self.corners;
        let (width, height) = (right - left, bottom - top);
        let side = width.max(height);
        let (left, top) = (left + width * 0.5 - side * 0.5, top + height * 0.5 - side * 0.5);
        self.corners = [left, top, left + side, top + side];
    }

    /// The pixels of the image that the box covers, left, top, right and bottom, the last two beyond them; `None` if it
    /// covers none.
    pub(super) fn pixels(&self, [width, height]: [usize; 2]) -> Option<[usize; 4]> {
        let [left, top, right, bottom] = self.corners.map(|corner| corner.trunc() as i64);
        let (left, top) = (left.max(1) - 1, top.max(1) - 1);
        let (right, bottom) = (right.min(width as i64), bottom.min(height as i64));
        (left < right && top < bottom).then_some([left as usize, top as usize, right as usize, bottom as usize])
    }
}

/// What an overlap is measured by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Overlap {
    /// Intersection over union.
    Union,
    /// Intersection over the smaller box, whose sides count both end pixels.
    Smaller,
}

/// Those candidates that overlap no more than `threshold` with a likelier one that is kept, likeliest first.
pub(super) fn suppress(mut candidates: Vec<Candidate>, threshold: f64, overlap: Overlap) -> Vec<Candidate> {
    candidates.sort_by(|a, b| b.score.total_cmp(&a.score));
    let mut kept: Vec<Candidate> = Vec::new();
    for candidate in candidates {
        if kept.iter().all(|other| f64::from(measure(&candidate, other, overlap)) <= threshold) {
            kept.push(candidate);
        }
    }
    kept
}

fn measure(a: &Candidate, b: &Candidate, overlap: Overlap) -> f32 {
    let one = if overlap == Overlap::Smaller { 1.0 } else { 0.0 };
    let area = |[left, top, right, bottom]: [f32; 4]| (right - left + one) * (bottom - top + one);
    let (a, b) = (a.corners, b.corners);
    let side = |low: usize, high: usize| (a[high].min(b[high]) - a[low].max(b[low]) + one).max(0.0);
    let shared = side(0, 2) * side(1, 3);
    match overlap {
        Overlap::Union => shared / (area(a) + area(b) - shared),
        Overlap::Smaller => shared / area(a).min(area(b)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(corners: [f32; 4], score: f32) -> Candidate {
        Candidate { corners, score, offsets: [0.0; 4], landmarks: [[0.0; 2]; 5] }
    }

    #[test]
    fn the_likelier_of_two_boxes_stays_and_a_box_inside_is_smaller() {
        let boxes = [
            candidate([0.0, 0.0, 10.0, 10.0], 0.7),
            candidate([1.0, 0.0, 11.0, 10.0], 0.9),
            candidate([30.0, 30.0, 40.0, 40.0], 0.8),
            candidate([32.0, 32.0, 36.0, 36.0], 0.6),
        ];
        let scores = |overlap| -> Vec<f32> {
            suppress(boxes.to_vec(), 0.7, overlap).iter().map(|candidate| candidate.score).collect()
        };
        assert_eq!(scores(Overlap::Union), [0.9, 0.8, 0.6]);
        assert_eq!(scores(Overlap::Smaller), [0.9, 0.8]);
    }

    #[test]
    fn what_lies_outside_the_image_has_no_pixels() {
        assert_eq!(candidate([-5.0, -5.0, 3.0, 4.0], 1.0).pixels([10, 10]), Some([0, 0, 3, 4]));
        assert_eq!(candidate([5.0, 5.0, 30.0, 40.0], 1.0).pixels([10, 8]), Some([4, 4, 10, 8]));
        assert_eq!(candidate([12.0, 0.0, 14.0, 4.0], 1.0).pixels([10, 10]), None);
        assert_eq!(candidate([-9.0, 0.0, -2.0, 4.0], 1.0).pixels([10, 10]), None);
        assert_eq!(candidate([f32::NAN; 4], 1.0).pixels([10, 10]), None);
    }
}
