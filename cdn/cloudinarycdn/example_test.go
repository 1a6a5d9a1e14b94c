package cloudinarycdn_test

import (
	"fmt"

	"github.com/perfblocks/perfblocks/cdn"
	"github.com/perfblocks/perfblocks/cdn/cloudinarycdn"
)

func ExampleProvider_TransformURL() {
	o, err := cloudinarycdn.ParseURL("cloudinary://1234:secret@demo")
	if err != nil {
		fmt.Println(err)
		return
	}
	p, err := cloudinarycdn.New(o)
	if err != nil {
		fmt.Println(err)
		return
	}
	ref := cdn.Ref{Key: "cats/tom.png", Handle: "image/upload/v1700000001/png"} // as Put returned it
	for _, w := range []int{400, 800} {
		u, _ := p.TransformURL(ref, cdn.Transform{Width: w, Quality: 80, Format: "auto"})
		fmt.Println(u)
	}
	// Output:
	// https://res.cloudinary.com/demo/image/upload/c_limit,f_auto,q_80,w_400/v1700000001/cats/tom.png.png
	// https://res.cloudinary.com/demo/image/upload/c_limit,f_auto,q_80,w_800/v1700000001/cats/tom.png.png
}
