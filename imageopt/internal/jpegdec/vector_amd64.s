//go:build amd64 && !purego

#include "textflag.h"

// The factors of idct.go, eight times each.
#define EIGHT(NAME, V) \
	DATA NAME<>+0(SB)/4, $V  \
	DATA NAME<>+4(SB)/4, $V  \
	DATA NAME<>+8(SB)/4, $V  \
	DATA NAME<>+12(SB)/4, $V \
	DATA NAME<>+16(SB)/4, $V \
	DATA NAME<>+20(SB)/4, $V \
	DATA NAME<>+24(SB)/4, $V \
	DATA NAME<>+28(SB)/4, $V \
	GLOBL NAME<>(SB), RODATA|NOPTR, $32

EIGHT(c0298, 2446)
EIGHT(c0390, 3196)
EIGHT(c0541, 4433)
EIGHT(c0765, 6270)
EIGHT(c0899, 7373)
EIGHT(c1175, 9633)
EIGHT(c1501, 12299)
EIGHT(c1847, 15137)
EIGHT(c1961, 16069)
EIGHT(c2053, 16819)
EIGHT(c2562, 20995)
EIGHT(c3072, 25172)
EIGHT(halfColumn, 0x400)
EIGHT(halfRow, 0x20000)

// Words of 128, and the order that turns 4 × 4 bytes.
DATA mid<>+0(SB)/8, $0x0080008000800080
DATA mid<>+8(SB)/8, $0x0080008000800080
DATA mid<>+16(SB)/8, $0x0080008000800080
DATA mid<>+24(SB)/8, $0x0080008000800080
GLOBL mid<>(SB), RODATA|NOPTR, $32
DATA turn<>+0(SB)/8, $0x0d0905010c080400
DATA turn<>+8(SB)/8, $0x0f0b07030e0a0602
DATA turn<>+16(SB)/8, $0x0d0905010c080400
DATA turn<>+24(SB)/8, $0x0f0b07030e0a0602
GLOBL turn<>(SB), RODATA|NOPTR, $32

// Eight transforms of Y0–Y7 into Y8–Y15.
#define PASS(HALF, DOWN) \
	VPADDD  Y6, Y2, Y8                \
	VPMULLD c0541<>(SB), Y8, Y8       \
	VPMULLD c1847<>(SB), Y6, Y6       \
	VPSUBD  Y6, Y8, Y6                \
	VPMULLD c0765<>(SB), Y2, Y2       \
	VPADDD  Y2, Y8, Y2                \
	VPADDD  Y4, Y0, Y8                \
	VPSUBD  Y4, Y0, Y9                \
	VPSLLD  $13, Y8, Y8               \
	VPSLLD  $13, Y9, Y9               \
	VPADDD  HALF<>(SB), Y8, Y8        \
	VPADDD  HALF<>(SB), Y9, Y9        \
	VPADDD  Y2, Y8, Y0                \
	VPSUBD  Y2, Y8, Y4                \
	VPADDD  Y6, Y9, Y2                \
	VPSUBD  Y6, Y9, Y6                \
	VPADDD  Y3, Y7, Y8                \
	VPADDD  Y1, Y5, Y9                \
	VPADDD  Y9, Y8, Y10               \
	VPMULLD c1175<>(SB), Y10, Y10     \
	VPMULLD c1961<>(SB), Y8, Y8       \
	VPMULLD c0390<>(SB), Y9, Y9       \
	VPSUBD  Y8, Y10, Y8               \
	VPSUBD  Y9, Y10, Y9               \
	VPADDD  Y1, Y7, Y11               \
	VPADDD  Y3, Y5, Y12               \
	VPMULLD c0899<>(SB), Y11, Y11     \
	VPMULLD c2562<>(SB), Y12, Y12     \
	VPMULLD c0298<>(SB), Y7, Y7       \
	VPMULLD c2053<>(SB), Y5, Y5       \
	VPMULLD c3072<>(SB), Y3, Y3       \
	VPMULLD c1501<>(SB), Y1, Y1       \
	VPSUBD  Y11, Y7, Y7               \
	VPSUBD  Y12, Y5, Y5               \
	VPSUBD  Y12, Y3, Y3               \
	VPSUBD  Y11, Y1, Y1               \
	VPADDD  Y8, Y7, Y7                \
	VPADDD  Y9, Y5, Y5                \
	VPADDD  Y8, Y3, Y3                \
	VPADDD  Y9, Y1, Y1                \
	VPADDD  Y1, Y0, Y8                \
	VPSUBD  Y1, Y0, Y15               \
	VPADDD  Y3, Y2, Y9                \
	VPSUBD  Y3, Y2, Y14               \
	VPADDD  Y5, Y6, Y10               \
	VPSUBD  Y5, Y6, Y13               \
	VPADDD  Y7, Y4, Y11               \
	VPSUBD  Y7, Y4, Y12               \
	VPSRAD  $DOWN, Y8, Y8             \
	VPSRAD  $DOWN, Y9, Y9             \
	VPSRAD  $DOWN, Y10, Y10           \
	VPSRAD  $DOWN, Y11, Y11           \
	VPSRAD  $DOWN, Y12, Y12           \
	VPSRAD  $DOWN, Y13, Y13           \
	VPSRAD  $DOWN, Y14, Y14           \
	VPSRAD  $DOWN, Y15, Y15

// func idct8AVX2(b *block, dst *byte, st int)
TEXT ·idct8AVX2(SB), NOSPLIT, $0-24
	MOVQ    b+0(FP), SI
	MOVQ    dst+8(FP), DI
	MOVQ    st+16(FP), DX
	VMOVDQU (SI), Y0
	VMOVDQU 32(SI), Y1
	VMOVDQU 64(SI), Y2
	VMOVDQU 96(SI), Y3
	VMOVDQU 128(SI), Y4
	VMOVDQU 160(SI), Y5
	VMOVDQU 192(SI), Y6
	VMOVDQU 224(SI), Y7
	PASS(halfColumn, 11)

	// Rows become columns.
	VPUNPCKLDQ  Y9, Y8, Y0
	VPUNPCKHDQ  Y9, Y8, Y1
	VPUNPCKLDQ  Y11, Y10, Y2
	VPUNPCKHDQ  Y11, Y10, Y3
	VPUNPCKLDQ  Y13, Y12, Y4
	VPUNPCKHDQ  Y13, Y12, Y5
	VPUNPCKLDQ  Y15, Y14, Y6
	VPUNPCKHDQ  Y15, Y14, Y7
	VPUNPCKLQDQ Y2, Y0, Y8
	VPUNPCKHQDQ Y2, Y0, Y9
	VPUNPCKLQDQ Y3, Y1, Y10
	VPUNPCKHQDQ Y3, Y1, Y11
	VPUNPCKLQDQ Y6, Y4, Y12
	VPUNPCKHQDQ Y6, Y4, Y13
	VPUNPCKLQDQ Y7, Y5, Y14
	VPUNPCKHQDQ Y7, Y5, Y15
	VPERM2I128  $0x20, Y12, Y8, Y0
	VPERM2I128  $0x20, Y13, Y9, Y1
	VPERM2I128  $0x20, Y14, Y10, Y2
	VPERM2I128  $0x20, Y15, Y11, Y3
	VPERM2I128  $0x31, Y12, Y8, Y4
	VPERM2I128  $0x31, Y13, Y9, Y5
	VPERM2I128  $0x31, Y14, Y10, Y6
	VPERM2I128  $0x31, Y15, Y11, Y7
	PASS(halfRow, 18)

	// Columns become rows of bytes.
	VPACKSSDW  Y9, Y8, Y8
	VPACKSSDW  Y11, Y10, Y10
	VPACKSSDW  Y13, Y12, Y12
	VPACKSSDW  Y15, Y14, Y14
	VMOVDQU    mid<>(SB), Y0
	VPADDSW    Y0, Y8, Y8
	VPADDSW    Y0, Y10, Y10
	VPADDSW    Y0, Y12, Y12
	VPADDSW    Y0, Y14, Y14
	VPACKUSWB  Y10, Y8, Y8
	VPACKUSWB  Y14, Y12, Y12
	VMOVDQU    turn<>(SB), Y0
	VPSHUFB    Y0, Y8, Y8
	VPSHUFB    Y0, Y12, Y12
	VPUNPCKLDQ Y12, Y8, Y0
	VPUNPCKHDQ Y12, Y8, Y1
	LEAQ       (DI)(DX*4), BX
	LEAQ       (DX)(DX*2), CX
	VMOVQ      X0, (DI)
	VPEXTRQ    $1, X0, (DI)(DX*1)
	VMOVQ      X1, (DI)(DX*2)
	VPEXTRQ    $1, X1, (DI)(CX*1)
	VEXTRACTI128 $1, Y0, X0
	VEXTRACTI128 $1, Y1, X1
	VMOVQ      X0, (BX)
	VPEXTRQ    $1, X0, (BX)(DX*1)
	VMOVQ      X1, (BX)(DX*2)
	VPEXTRQ    $1, X1, (BX)(CX*1)
	VZEROUPPER
	RET
