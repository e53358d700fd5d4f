//! A file that claims more pixels than its bytes can hold is refused before memory is asked for them; flat images are not.
#![allow(clippy::unwrap_used)]

use counterpoint_pictures::decode;

#[test]
fn no_more_pixels_than_bytes_can_hold() {
    // As small as PNG can be: a bit for each of 6 million pixels, all alike, from PIL.
    let flat = include_bytes!("fixtures/flat_one_bit.png");
    let decoded = decode(flat).unwrap();
    assert_eq!((decoded.dimensions(), decoded.get_pixel(2999, 1999).0), ((3000, 2000), [255; 3]));

    // Found by a fuzzer: 95 bytes that claim 919,808 x 117,440,512 pixels, and ended the program.
    let bomb = include_bytes!("../../../fuzz/corpus/picture/claims_too_many_pixels.png");
    let error = decode(bomb).unwrap_err().to_string();
    assert!(error.contains("of 95 bytes, got 919808 x 117440512"), "{error}");
}
