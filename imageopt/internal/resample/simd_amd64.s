//go:build amd64 && !purego

#include "textflag.h"

// Of two pixels of four words each: r r g g b b a a.
DATA pixelPairs<>+0(SB)/8, $0x0b0a030209080100
DATA pixelPairs<>+8(SB)/8, $0x0f0e07060d0c0504
DATA pixelPairs<>+16(SB)/8, $0x0b0a030209080100
DATA pixelPairs<>+24(SB)/8, $0x0f0e07060d0c0504
GLOBL pixelPairs<>(SB), RODATA|NOPTR, $32

// Of four weights the first two, four times, and the last two, four times.
DATA weightPairs<>+0(SB)/8, $0x0302010003020100
DATA weightPairs<>+8(SB)/8, $0x0302010003020100
DATA weightPairs<>+16(SB)/8, $0x0706050407060504
DATA weightPairs<>+24(SB)/8, $0x0706050407060504
GLOBL weightPairs<>(SB), RODATA|NOPTR, $32

// Of two pixels of four words each: the alpha of each, four times.
DATA alphas<>+0(SB)/8, $0x0706070607060706
DATA alphas<>+8(SB)/8, $0x0f0e0f0e0f0e0f0e
DATA alphas<>+16(SB)/8, $0x0706070607060706
DATA alphas<>+24(SB)/8, $0x0f0e0f0e0f0e0f0e
GLOBL alphas<>(SB), RODATA|NOPTR, $32

// The bytes of rows A and B, in columns that lie OFF from AX, times the weights in
// Y13, are added to four sums of eight columns.
#define PAIR(OFF, S0, S1, S2, S3) \
	VMOVDQU    OFF(AX), Y8           \
	VMOVDQU    OFF(AX)(R12*1), Y9    \
	VPUNPCKLBW Y9, Y8, Y10           \
	VPUNPCKHBW Y9, Y8, Y11           \
	VPUNPCKLBW Y15, Y10, Y8          \
	VPUNPCKHBW Y15, Y10, Y9          \
	VPMADDWD   Y13, Y8, Y8           \
	VPMADDWD   Y13, Y9, Y9           \
	VPADDD     Y8, S0, S0            \
	VPADDD     Y9, S1, S1            \
	VPUNPCKLBW Y15, Y11, Y8          \
	VPUNPCKHBW Y15, Y11, Y9          \
	VPMADDWD   Y13, Y8, Y8           \
	VPMADDWD   Y13, Y9, Y9           \
	VPADDD     Y8, S2, S2            \
	VPADDD     Y9, S3, S3

// 32 sums become words in their order.
#define NARROW(OFF, S0, S1, S2, S3) \
	VPSRAD     $8, S0, S0         \
	VPSRAD     $8, S1, S1         \
	VPSRAD     $8, S2, S2         \
	VPSRAD     $8, S3, S3         \
	VPACKSSDW  S1, S0, S0         \
	VPACKSSDW  S3, S2, S2         \
	VPERM2I128 $0x20, S2, S0, Y8  \
	VPERM2I128 $0x31, S2, S0, Y9  \
	VMOVDQU    Y8, OFF(DI)        \
	VMOVDQU    Y9, (OFF+32)(DI)

// func vert8AVX2(dst *int16, src *byte, stride int, w *int16, n, cols int)
// cols is a multiple of 16. An odd last row is paired with itself and the weight 0.
TEXT ·vert8AVX2(SB), NOSPLIT, $0-48
	MOVQ         dst+0(FP), DI
	MOVQ         src+8(FP), SI
	MOVQ         stride+16(FP), R8
	MOVQ         w+24(FP), R9
	MOVQ         n+32(FP), R10
	MOVQ         cols+40(FP), CX
	VPXOR        Y15, Y15, Y15
	MOVL         $128, AX
	VMOVD        AX, X14
	VPBROADCASTD X14, Y14
	MOVQ         R10, R11
	ANDQ         $1, R11
	INCQ         R10
	SHRQ         $1, R10
	XORQ         R13, R13

tile64:
	CMPQ    CX, $64
	JLT     tile16
	VMOVDQA Y14, Y0
	VMOVDQA Y14, Y1
	VMOVDQA Y14, Y2
	VMOVDQA Y14, Y3
	VMOVDQA Y14, Y4
	VMOVDQA Y14, Y5
	VMOVDQA Y14, Y6
	VMOVDQA Y14, Y7
	MOVQ    SI, AX
	MOVQ    R9, BX
	MOVQ    R10, DX
	MOVQ    R8, R12

pair64:
	CMPQ         DX, R11
	CMOVQEQ      R13, R12
	VPBROADCASTD (BX), Y13
	PAIR(0, Y0, Y1, Y2, Y3)
	PAIR(32, Y4, Y5, Y6, Y7)
	LEAQ         (AX)(R8*2), AX
	ADDQ         $4, BX
	DECQ         DX
	JNZ          pair64
	NARROW(0, Y0, Y1, Y2, Y3)
	NARROW(64, Y4, Y5, Y6, Y7)
	ADDQ         $64, SI
	ADDQ         $128, DI
	SUBQ         $64, CX
	JMP          tile64

tile16:
	CMPQ    CX, $16
	JLT     done
	VMOVDQA X14, X0
	VMOVDQA X14, X1
	VMOVDQA X14, X2
	VMOVDQA X14, X3
	MOVQ    SI, AX
	MOVQ    R9, BX
	MOVQ    R10, DX
	MOVQ    R8, R12

pair16:
	CMPQ         DX, R11
	CMOVQEQ      R13, R12
	VPBROADCASTD (BX), X13
	VMOVDQU      (AX), X8
	VMOVDQU      (AX)(R12*1), X9
	VPUNPCKLBW   X9, X8, X10
	VPUNPCKHBW   X9, X8, X11
	VPUNPCKLBW   X15, X10, X8
	VPUNPCKHBW   X15, X10, X9
	VPMADDWD     X13, X8, X8
	VPMADDWD     X13, X9, X9
	VPADDD       X8, X0, X0
	VPADDD       X9, X1, X1
	VPUNPCKLBW   X15, X11, X8
	VPUNPCKHBW   X15, X11, X9
	VPMADDWD     X13, X8, X8
	VPMADDWD     X13, X9, X9
	VPADDD       X8, X2, X2
	VPADDD       X9, X3, X3
	LEAQ         (AX)(R8*2), AX
	ADDQ         $4, BX
	DECQ         DX
	JNZ          pair16
	VPSRAD       $8, X0, X0
	VPSRAD       $8, X1, X1
	VPSRAD       $8, X2, X2
	VPSRAD       $8, X3, X3
	VPACKSSDW    X1, X0, X0
	VPACKSSDW    X3, X2, X2
	VMOVDQU      X0, (DI)
	VMOVDQU      X2, 16(DI)
	ADDQ         $16, SI
	ADDQ         $32, DI
	SUBQ         $16, CX
	JMP          tile16

done:
	VZEROUPPER
	RET

// func horiz1AVX2(dst *byte, row *int16, first *int32, w *int16, taps, n int)
// n is a multiple of 4, taps 8 or a multiple of 16.
TEXT ·horiz1AVX2(SB), NOSPLIT, $0-48
	MOVQ         dst+0(FP), DI
	MOVQ         row+8(FP), SI
	MOVQ         first+16(FP), R10
	MOVQ         w+24(FP), BX
	MOVQ         n+40(FP), CX
	MOVL         $0x80000, AX
	VMOVD        AX, X14
	VPBROADCASTD X14, X14

four:
	MOVLQSX (R10), R9
	LEAQ    (SI)(R9*2), R9
	MOVLQSX 4(R10), R11
	LEAQ    (SI)(R11*2), R11
	MOVLQSX 8(R10), R12
	LEAQ    (SI)(R12*2), R12
	MOVLQSX 12(R10), R13
	LEAQ    (SI)(R13*2), R13
	MOVQ    taps+32(FP), AX
	LEAQ    (BX)(AX*2), DX
	LEAQ    (DX)(AX*2), R8
	LEAQ    (R8)(AX*2), R14
	CMPQ    AX, $8
	JEQ     eight
	VPXOR   Y0, Y0, Y0
	VPXOR   Y1, Y1, Y1
	VPXOR   Y2, Y2, Y2
	VPXOR   Y3, Y3, Y3
	SHLQ    $1, AX

sixteen:
	// from the last weights to the first
	SUBQ     $32, AX
	VMOVDQU  (R9)(AX*1), Y4
	VMOVDQU  (R11)(AX*1), Y5
	VMOVDQU  (R12)(AX*1), Y6
	VMOVDQU  (R13)(AX*1), Y7
	VPMADDWD (BX)(AX*1), Y4, Y4
	VPMADDWD (DX)(AX*1), Y5, Y5
	VPMADDWD (R8)(AX*1), Y6, Y6
	VPMADDWD (R14)(AX*1), Y7, Y7
	VPADDD   Y4, Y0, Y0
	VPADDD   Y5, Y1, Y1
	VPADDD   Y6, Y2, Y2
	VPADDD   Y7, Y3, Y3
	TESTQ    AX, AX
	JNZ      sixteen

	VPHADDD      Y1, Y0, Y0
	VPHADDD      Y3, Y2, Y2
	VPHADDD      Y2, Y0, Y0
	VEXTRACTI128 $1, Y0, X1
	VPADDD       X1, X0, X0
	JMP          store

eight:
	VMOVDQU  (R9), X0
	VMOVDQU  (R11), X1
	VMOVDQU  (R12), X2
	VMOVDQU  (R13), X3
	VPMADDWD (BX), X0, X0
	VPMADDWD (DX), X1, X1
	VPMADDWD (R8), X2, X2
	VPMADDWD (R14), X3, X3
	VPHADDD  X1, X0, X0
	VPHADDD  X3, X2, X2
	VPHADDD  X2, X0, X0

store:
	VPADDD    X14, X0, X0
	VPSRAD    $20, X0, X0
	VPACKSSDW X0, X0, X0
	VPACKUSWB X0, X0, X0
	VMOVD     X0, (DI)
	MOVQ      taps+32(FP), AX
	LEAQ      (R14)(AX*2), BX
	ADDQ      $16, R10
	ADDQ      $4, DI
	SUBQ      $4, CX
	JNZ       four
	VZEROUPPER
	RET

// The sum of taps pixels from SI+8·first, by the weights at BX, goes to X0 as four
// integers. BX moves on.
#define PIXEL(LOOP) \
	MOVLQSX      (R10), R9           \
	LEAQ         (SI)(R9*8), R9      \
	MOVQ         R8, AX              \
	VPXOR        Y0, Y0, Y0          \
	VPXOR        Y1, Y1, Y1          \
LOOP:                               \
	VPBROADCASTQ (BX), Y2            \
	VPBROADCASTQ 8(BX), Y3           \
	VMOVDQU      (R9), Y4            \
	VMOVDQU      32(R9), Y5          \
	VPSHUFB      Y13, Y2, Y2         \
	VPSHUFB      Y13, Y3, Y3         \
	VPSHUFB      Y12, Y4, Y4         \
	VPSHUFB      Y12, Y5, Y5         \
	VPMADDWD     Y2, Y4, Y4          \
	VPMADDWD     Y3, Y5, Y5          \
	VPADDD       Y4, Y0, Y0          \
	VPADDD       Y5, Y1, Y1          \
	ADDQ         $16, BX             \
	ADDQ         $64, R9             \
	SUBQ         $8, AX              \
	JNZ          LOOP                \
	VPADDD       Y1, Y0, Y0          \
	VEXTRACTI128 $1, Y0, X1          \
	VPADDD       X1, X0, X0          \
	VPADDD       X14, X0, X0

// func horiz4AVX2(dst *byte, row *int16, first *int32, w *int16, taps, n int)
TEXT ·horiz4AVX2(SB), NOSPLIT, $0-48
	MOVQ         dst+0(FP), DI
	MOVQ         row+8(FP), SI
	MOVQ         first+16(FP), R10
	MOVQ         w+24(FP), BX
	MOVQ         taps+32(FP), R8
	MOVQ         n+40(FP), CX
	MOVL         $0x80000, AX
	VMOVD        AX, X14
	VPBROADCASTD X14, X14
	VMOVDQU      weightPairs<>(SB), Y13
	VMOVDQU      pixelPairs<>(SB), Y12

next:
	PIXEL(loop)
	VPSRAD    $20, X0, X0
	VPACKSSDW X0, X0, X0
	VPACKUSWB X0, X0, X0
	VMOVD     X0, (DI)
	ADDQ      $4, R10
	ADDQ      $4, DI
	DECQ      CX
	JNZ       next
	VZEROUPPER
	RET

// func wide4AVX2(dst, row *int16, first *int32, w *int16, taps, n int)
TEXT ·wide4AVX2(SB), NOSPLIT, $0-48
	MOVQ         dst+0(FP), DI
	MOVQ         row+8(FP), SI
	MOVQ         first+16(FP), R10
	MOVQ         w+24(FP), BX
	MOVQ         taps+32(FP), R8
	MOVQ         n+40(FP), CX
	MOVL         $0x2000, AX
	VMOVD        AX, X14
	VPBROADCASTD X14, X14
	VMOVDQU      weightPairs<>(SB), Y13
	VMOVDQU      pixelPairs<>(SB), Y12

next:
	PIXEL(loop)
	VPSRAD    $14, X0, X0
	VPACKSSDW X0, X0, X0
	VMOVQ     X0, (DI)
	ADDQ      $4, R10
	ADDQ      $8, DI
	DECQ      CX
	JNZ       next
	VZEROUPPER
	RET

// func axpyAVX2(acc *int32, row *int16, w, n int)
// n is a multiple of 8.
TEXT ·axpyAVX2(SB), NOSPLIT, $0-32
	MOVQ         acc+0(FP), DI
	MOVQ         row+8(FP), SI
	MOVQ         w+16(FP), AX
	MOVQ         n+24(FP), CX
	VMOVD        AX, X2
	VPBROADCASTD X2, Y2

eight:
	VPMOVSXWD (SI), Y0
	VPMULLD   Y2, Y0, Y0
	VPADDD    (DI), Y0, Y0
	VMOVDQU   Y0, (DI)
	ADDQ      $16, SI
	ADDQ      $32, DI
	SUBQ      $8, CX
	JNZ       eight
	VZEROUPPER
	RET

// func premultiplyAVX2(dst *int16, src *byte, n int)
// n, of pixels, is a multiple of 4.
TEXT ·premultiplyAVX2(SB), NOSPLIT, $0-24
	MOVQ         dst+0(FP), DI
	MOVQ         src+8(FP), SI
	MOVQ         n+16(FP), CX
	MOVL         $0x00ff00ff, AX
	VMOVD        AX, X5
	VPBROADCASTD X5, Y5
	MOVL         $0x00020002, AX
	VMOVD        AX, X6
	VPBROADCASTD X6, Y6
	VMOVDQU      alphas<>(SB), Y7

four:
	VPMOVZXBW (SI), Y0
	VPSHUFB   Y7, Y0, Y1
	VPBLENDW  $0x88, Y5, Y1, Y1 // alpha itself times 255
	VPMULLW   Y1, Y0, Y0
	VPADDW    Y6, Y0, Y0
	VPSRLW    $2, Y0, Y0
	VMOVDQU   Y0, (DI)
	ADDQ      $16, SI
	ADDQ      $32, DI
	SUBQ      $4, CX
	JNZ       four
	VZEROUPPER
	RET
