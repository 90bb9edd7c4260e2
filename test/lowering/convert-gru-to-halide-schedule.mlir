// Schedules given by hand, and what is wrong with some.
// RUN: %gru-opt %s --convert-gru-to-halide='schedule="halide_dense_k16_n32 rows=4 tile=2 unroll=2 outer=rows # tried"' | FileCheck %s
// RUN: not %gru-opt-no-roundtrip %s --convert-gru-to-halide='schedule="halide_dense_k16_n33 rows=2"' -o %t 2>&1 | FileCheck %s --check-prefix=NAME
// RUN: not %gru-opt-no-roundtrip %s --convert-gru-to-halide='schedule="halide_dense_k16_n32 row=2"' -o %t 2>&1 | FileCheck %s --check-prefix=KEY
// RUN: not %gru-opt-no-roundtrip %s --convert-gru-to-halide='schedule="halide_dense_k16_n32 rows=many"' -o %t 2>&1 | FileCheck %s --check-prefix=NUMBER
// RUN: not %gru-opt-no-roundtrip %s --convert-gru-to-halide='schedule="halide_dense_k16_n32 rows=9"' -o %t 2>&1 | FileCheck %s --check-prefix=ROWS
// RUN: %gru-opt %s --convert-gru-to-halide='schedule="halide_dense_k16_n32 rows=4"' | FileCheck %s --check-prefix=ONE-TILE
// RUN: not %gru-opt-no-roundtrip %s --convert-gru-to-halide='schedule="halide_dense_k16_n32 rows=4 tile=3"' -o %t 2>&1 | FileCheck %s --check-prefix=TILE
// RUN: not %gru-opt-no-roundtrip %s --convert-gru-to-halide='schedule="halide_dense_k16_n32 units=24"' -o %t 2>&1 | FileCheck %s --check-prefix=UNITS
// RUN: not %gru-opt-no-roundtrip %s --convert-gru-to-halide='schedule="halide_dense_k16_n32 lanes=32 units=16"' -o %t 2>&1 | FileCheck %s --check-prefix=LANES
// RUN: not %gru-opt-no-roundtrip %s --convert-gru-to-halide='schedule="halide_dense_k16_n32 outer=time"' -o %t 2>&1 | FileCheck %s --check-prefix=OUTER

// CHECK: schedule = "lanes=16 units=32 rows=4 tile=2 unroll=2 outer=rows"
// NAME: error: halide-schedule: line 1: there is no function 'halide_dense_k16_n33'; there are halide_dense_k16_n32
// KEY: error: halide-schedule: line 1: halide_dense_k16_n32: 'row=2', expected lanes=, units=, rows=, tile=, unroll= or outer=
// NUMBER: error: halide-schedule: line 1: halide_dense_k16_n32: rows is 'many', expected a number from 1 to 64
// ROWS: halide_dense_k16_n32: rows is 9, expected at most the 8 there are
// Rows that are changed without a word on tiles are finished together.
// ONE-TILE: schedule = "lanes=16 units=32 rows=4 tile=4 unroll=1 outer=units"
// TILE: halide_dense_k16_n32: tile is 3, expected a divisor of rows = 4
// UNITS: halide_dense_k16_n32: units is 24, expected a multiple of lanes = 16
// LANES: halide_dense_k16_n32: units is 16, expected a multiple of lanes = 32
// OUTER: halide_dense_k16_n32: outer is 'time', expected units or rows
func.func @dense(%x: memref<8x16xf32>, %W: memref<1x16x1x32xf32>, %y: memref<8x32xf32>) {
  gru.packed_dense ins(%x, %W : memref<8x16xf32>, memref<1x16x1x32xf32>) outs(%y : memref<8x32xf32>) {activation = #gru.act<relu>}
  return
}
