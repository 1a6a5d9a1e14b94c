//go:build amd64 && !purego

#include "textflag.h"

// Eight coefficients at OFF, divided, become OUT in their order.
#define DIVIDE(OFF, OUT) \
	VMOVDQU  OFF(SI), Y8            \
	VPABSD   Y8, Y9                 \
	VPADDD   (OFF+256)(DX), Y9, Y9  \
	VMOVDQU  OFF(DX), Y10           \
	VPMULUDQ Y10, Y9, Y11           \
	VPSRLQ   $32, Y9, Y9            \
	VPSRLQ   $32, Y10, Y10          \
	VPMULUDQ Y10, Y9, Y9            \
	VPSRLQ   $32, Y11, Y11          \
	VPBLENDD $0xaa, Y9, Y11, Y9     \
	VPSIGND  Y8, Y9, OUT

// Sixteen of them become words.
#define SIXTEEN(OFF, OUT) \
	DIVIDE(OFF, Y12)              \
	DIVIDE(OFF+32, Y13)           \
	VPACKSSDW Y13, Y12, OUT       \
	VPERMQ    $0xd8, OUT, OUT     \
	VMOVDQU   OUT, (OFF/2)(DI)

// func quantiseAVX2(out *coefs, b *[64]int32, d *divisors) (zero uint64)
TEXT ·quantiseAVX2(SB), NOSPLIT, $0-32
	MOVQ      out+0(FP), DI
	MOVQ      b+8(FP), SI
	MOVQ      d+16(FP), DX
	VPXOR     Y15, Y15, Y15
	SIXTEEN(0, Y0)
	SIXTEEN(64, Y1)
	SIXTEEN(128, Y2)
	SIXTEEN(192, Y3)
	VPCMPEQW  Y15, Y0, Y0
	VPCMPEQW  Y15, Y1, Y1
	VPCMPEQW  Y15, Y2, Y2
	VPCMPEQW  Y15, Y3, Y3
	VPACKSSWB Y1, Y0, Y0
	VPACKSSWB Y3, Y2, Y2
	VPERMQ    $0xd8, Y0, Y0
	VPERMQ    $0xd8, Y2, Y2
	VPMOVMSKB Y0, AX
	VPMOVMSKB Y2, BX
	SHLQ      $32, BX
	ORQ       BX, AX
	MOVQ      AX, zero+24(FP)
	VZEROUPPER
	RET
