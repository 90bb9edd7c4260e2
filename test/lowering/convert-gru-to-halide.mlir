// RUN: %gru-opt %s --convert-gru-to-halide --split-input-file --verify-diagnostics | FileCheck %s
// RUN: %gru-opt %s --convert-gru-to-halide="vector-bytes=32 registers=16" --split-input-file --verify-diagnostics | FileCheck %s --check-prefix=YMM

// A step becomes a call with the buffers in a fixed order: what is read, then
// what is written. One row: a register block is as wide as the packed one.
// CHECK-LABEL: func.func @step
// CHECK-SAME: %[[P:[a-z0-9]+]]: memref<1x2x3x32xf32>, %[[U:[a-z0-9]+]]: memref<2x40x3x32xf32>, %[[C:[a-z0-9]+]]: memref<2x1x32xf32>, %[[H:[a-z0-9]+]]: memref<1x64xf32>, %[[N:[a-z0-9]+]]: memref<1x64xf32>, %[[O:[a-z0-9]+]]: memref<1x40xf32, strided<[?, 1], offset: ?>>
// CHECK: call @halide_step_all_b1_h40(%[[P]], %[[U]], %[[C]], %[[H]], %[[N]], %[[O]])
// CHECK-NOT: gru.step
// CHECK: func.func private @halide_step_all_b1_h40
// CHECK-SAME: gru.halide = {activation = #gru.act<tanh>, clip = 7.500000e-01 : f64, kind = "all"
// CHECK-SAME: operands = ["projection", "kernel", "recurrent_bias", "state", "new_state", "output"]
// CHECK-SAME: recurrent_activation = #gru.act<sigmoid>
// CHECK-SAME: schedule = "lanes=16 units=32 rows=1 tile=1 unroll=1 outer=units"
// CHECK-SAME: units = 40
// YMM: schedule = "lanes=8 units=32 rows=1 tile=1 unroll=1 outer=units"
func.func @step(%p: memref<1x2x3x32xf32>, %U: memref<2x40x3x32xf32>, %c: memref<2x1x32xf32>, %h: memref<1x64xf32>, %n: memref<1x64xf32>, %o: memref<1x40xf32, strided<[?, 1], offset: ?>>) {
  gru.step <all> projection(%p : memref<1x2x3x32xf32>) kernel(%U : memref<2x40x3x32xf32>) recurrent_bias(%c : memref<2x1x32xf32>)
      new_state(%n : memref<1x64xf32>) output(%o : memref<1x40xf32, strided<[?, 1], offset: ?>>) state(%h : memref<1x64xf32>)
      {units = 40, activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, clip = 0.75}
  return
}

// -----

// Nine rows are two blocks of five, not one of eight and one of one. Both phases
// have a function each, and equal steps share theirs.
// CHECK-LABEL: func.func @phases
// CHECK: call @halide_step_gates_b9_h16
// CHECK: call @halide_step_candidate_b9_h16
// CHECK: call @halide_step_gates_b9_h16
// CHECK: func.func private @halide_step_gates_b9_h16
// CHECK-SAME: operands = ["projection", "kernel", "state", "update", "reset_state"]
// CHECK-SAME: schedule = "lanes=16 units=16 rows=5 tile=5 unroll=1 outer=units"
// CHECK: func.func private @halide_step_candidate_b9_h16
// CHECK-SAME: operands = ["projection", "kernel", "state", "mask", "update", "reset_state", "new_state"]
// CHECK-NOT: func.func private
// YMM-LABEL: func.func @phases
// YMM: schedule = "lanes=8 units=16 rows=3 tile=3 unroll=1 outer=units"
func.func @phases(%p: memref<9x1x3x16xf32>, %U: memref<1x16x2x16xf32>, %V: memref<1x16x1x16xf32>, %h: memref<9x16xf32>, %z: memref<9x16xf32>, %r: memref<9x16xf32>, %m: memref<9xi1>) {
  gru.step <gates> projection(%p : memref<9x1x3x16xf32>) kernel(%U : memref<1x16x2x16xf32>)
      update(%z : memref<9x16xf32>) reset_state(%r : memref<9x16xf32>) state(%h : memref<9x16xf32>)
      {units = 16, activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>}
  gru.step <candidate> projection(%p : memref<9x1x3x16xf32>) kernel(%V : memref<1x16x1x16xf32>)
      update(%z : memref<9x16xf32>) reset_state(%r : memref<9x16xf32>) new_state(%h : memref<9x16xf32>) mask(%m : memref<9xi1>)
      state(%h : memref<9x16xf32>)
      {units = 16, activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>}
  gru.step <gates> projection(%p : memref<9x1x3x16xf32>) kernel(%U : memref<1x16x2x16xf32>)
      update(%z : memref<9x16xf32>) reset_state(%r : memref<9x16xf32>) state(%h : memref<9x16xf32>)
      {units = 16, activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>}
  return
}

// -----

// A step that projects its input itself has one name for each number of features.
// The candidate's projection waits behind the sums, too many for the registers, so
// rows are finished in tiles.
// CHECK-LABEL: func.func @projects
// CHECK: call @halide_step_all_b8_h16_f3(
// CHECK: operands = ["input", "input_kernel", "input_bias", "kernel", "state", "new_state"]
// CHECK-SAME: schedule = "lanes=16 units=16 rows=8 tile=4 unroll=1 outer=units"
// YMM-LABEL: func.func @projects
// YMM: schedule = "lanes=8 units=16 rows=2 tile=1 unroll=1 outer=units"
func.func @projects(%x: memref<8x3xf32>, %W: memref<1x3x3x16xf32>, %c: memref<1x3x16xf32>, %U: memref<1x16x3x16xf32>, %h: memref<8x16xf32>) {
  gru.step <all> input(%x : memref<8x3xf32>) input_kernel(%W : memref<1x3x3x16xf32>)
      input_bias(%c : memref<1x3x16xf32>) kernel(%U : memref<1x16x3x16xf32>)
      new_state(%h : memref<8x16xf32>) state(%h : memref<8x16xf32>)
      {units = 16, activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>}
  return
}

// -----

// Recurrent dropout goes along; the buffer for the dropped state is not needed,
// and Halide's loops do not turn round.
// CHECK-LABEL: func.func @dropout
// CHECK: call @halide_step_gates_b1_h32
// CHECK: operands = ["projection", "kernel", "state", "recurrent_dropout_mask", "update", "reset_state"]
// YMM-LABEL: func.func @dropout
func.func @dropout(%p: memref<1x2x3x16xf32>, %U: memref<2x32x2x16xf32>, %h: memref<1x32xf32>, %z: memref<1x32xf32>, %r: memref<1x32xf32>, %m: memref<3x1x32xf32>, %d: memref<2x1x32xf32>, %turn: i1) {
  gru.step <gates> projection(%p : memref<1x2x3x16xf32>) kernel(%U : memref<2x32x2x16xf32>)
      recurrent_dropout_mask(%m : memref<3x1x32xf32>) dropped_state(%d : memref<2x1x32xf32>)
      update(%z : memref<1x32xf32>) reset_state(%r : memref<1x32xf32>) turn(%turn) state(%h : memref<1x32xf32>)
      {units = 32, activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>}
  return
}

// -----

// Products: the rows of a block are those of a large static dimension, else of
// the dynamic one. Same kind and size, other buffers: a number behind the name.
// CHECK-LABEL: func.func @products
// CHECK: call @halide_projection_k5_n48(
// CHECK: call @halide_dense_k16_n3(
// CHECK: call @halide_dense_k16_n3_1(
// CHECK: func.func private @halide_projection_k5_n48
// CHECK-SAME: blocked_dim = 1
// CHECK-SAME: schedule = "lanes=16 units=16 rows=8
// CHECK: func.func private @halide_dense_k16_n3({{.*}}blocked_dim = 0
// CHECK-SAME: rows=8
// CHECK: func.func private @halide_dense_k16_n3_1({{.*}}blocked_dim = 0
// CHECK-SAME: rows=2
// YMM-LABEL: func.func @products
// YMM: rows=2
func.func @products(%x: memref<1x?x5xf32>, %W: memref<1x5x3x16xf32>, %b: memref<1x3x16xf32>, %p: memref<?x1x1x3x16xf32>,
                    %y: memref<8x?x16xf32>, %D: memref<1x16x1x16xf32>, %o: memref<8x?x3xf32>, %v: memref<2x16xf32>, %w: memref<2x3xf32>) {
  gru.packed_dense ins(%x, %W : memref<1x?x5xf32>, memref<1x5x3x16xf32>) bias(%b : memref<1x3x16xf32>) outs(%p : memref<?x1x1x3x16xf32>)
      {activation = #gru.act<linear>}
  gru.packed_dense ins(%y, %D : memref<8x?x16xf32>, memref<1x16x1x16xf32>) outs(%o : memref<8x?x3xf32>) {activation = #gru.act<relu>}
  gru.packed_dense ins(%v, %D : memref<2x16xf32>, memref<1x16x1x16xf32>) outs(%w : memref<2x3xf32>) {activation = #gru.act<relu>}
  return
}

// -----

// What Halide does not take stays. The phase of the gates does not apply the
// activation, so it is taken.
// CHECK-LABEL: func.func @rowwise
// CHECK: call @halide_step_gates
// CHECK: gru.step <candidate>
// YMM-LABEL: func.func @rowwise
func.func @rowwise(%p: memref<1x1x3x16xf32>, %U: memref<1x16x2x16xf32>, %V: memref<1x16x1x16xf32>, %h: memref<1x16xf32>, %z: memref<1x16xf32>, %r: memref<1x16xf32>, %s: memref<1x3x16xf32>) {
  gru.step <gates> projection(%p : memref<1x1x3x16xf32>) kernel(%U : memref<1x16x2x16xf32>) preactivations(%s : memref<1x3x16xf32>)
      update(%z : memref<1x16xf32>) reset_state(%r : memref<1x16xf32>) state(%h : memref<1x16xf32>)
      {units = 16, activation = #gru.act<softmax>, recurrent_activation = #gru.act<sigmoid>}
  // expected-remark @below {{halide: activation softmax acts on whole rows, so the cpu target's code is used}}
  gru.step <candidate> projection(%p : memref<1x1x3x16xf32>) kernel(%V : memref<1x16x1x16xf32>) preactivations(%s : memref<1x3x16xf32>)
      update(%z : memref<1x16xf32>) reset_state(%r : memref<1x16xf32>) new_state(%h : memref<1x16xf32>) state(%h : memref<1x16xf32>)
      {units = 16, activation = #gru.act<softmax>, recurrent_activation = #gru.act<sigmoid>}
  return
}

// -----

// CHECK-LABEL: func.func @half
// YMM-LABEL: func.func @half
func.func @half(%x: memref<2x16xf16>, %W: memref<1x16x1x32xf16>, %y: memref<2x32xf16>) {
  // CHECK: gru.packed_dense
  // expected-remark @below {{halide: there is no arithmetic in f16, so the cpu target's code is used}}
  gru.packed_dense ins(%x, %W : memref<2x16xf16>, memref<1x16x1x32xf16>) outs(%y : memref<2x32xf16>) {activation = #gru.act<relu>}
  return
}
