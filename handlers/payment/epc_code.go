package payment

import (
	"bytes"
	"image"
	"image/color"
	"image/png"

	"github.com/boombuler/barcode"
	"github.com/boombuler/barcode/qr"
)

// The size of a module of the code in pixels, and its margin in modules (ISO/IEC
// 18004: four).
const qrModule, qrMargin = 6, 4

// EPCCode draws the code of [EPCPayload] as a PNG of one or two kilobytes, with error
// correction level M. The same instructions give the same bytes. There is an error
// where there is no such code.
func EPCCode(i Instructions) ([]byte, error) {
	text, err := EPCPayload(i)
	if err != nil {
		return nil, err
	}
	code, err := qr.Encode(text, qr.M, qr.Unicode)
	if err != nil {
		return nil, err
	}
	side := code.Bounds().Dx() * qrModule
	if code, err = barcode.Scale(code, side, side); err != nil {
		return nil, err
	}
	margin := qrMargin * qrModule
	picture := image.NewPaletted(image.Rect(0, 0, side+2*margin, side+2*margin), color.Palette{color.White, color.Black})
	for y := range side {
		for x := range side {
			if code.At(x, y) == color.Black {
				picture.SetColorIndex(x+margin, y+margin, 1)
			}
		}
	}
	var out bytes.Buffer
	err = png.Encode(&out, picture)
	return out.Bytes(), err
}
