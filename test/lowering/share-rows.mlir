// RUN: %gru-opt %s --pass-pipeline="builtin.module(func.func(gru-share-rows{threads=2}))" --split-input-file | FileCheck %s
// RUN: %gru-opt %s --pass-pipeline="builtin.module(func.func(gru-share-rows{threads=1}))" --split-input-file | FileCheck %s --check-prefix=ALONE
// ALONE-NOT: scf.parallel

// Each part has half of the rows of all that has rows, and the whole weights.
// CHECK-LABEL: func.func @step
// CHECK: scf.parallel (%[[PART:.+]]) = (%c0{{.*}}) to (%c2{{.*}}) step (%c1{{.*}})
// CHECK: %[[FIRST:.+]] = arith.addi
// CHECK: memref.subview %{{.+}}[%[[FIRST]], 0, 0, 0] [8, 4, 3, 16] [1, 1, 1, 1]
// CHECK: memref.subview %{{.+}}[0, %[[FIRST]], 0] [3, 8, 64] [1, 1, 1]
// CHECK: gru.step <all> {{.*}} kernel(%{{.+}} : memref<4x64x3x16xf32>)
// CHECK-SAME: mask(%{{.+}} : memref<8xi1, strided<[1], offset: ?>>)
func.func @step(%p: memref<16x4x3x16xf32>, %U: memref<4x64x3x16xf32>, %h: memref<16x64xf32>, %n: memref<16x64xf32>,
                %d: memref<3x16x64xf32>, %e: memref<3x16x64xf32>, %m: memref<16xi1>) {
  gru.step <all> projection(%p : memref<16x4x3x16xf32>) kernel(%U : memref<4x64x3x16xf32>)
      recurrent_dropout_mask(%d : memref<3x16x64xf32>) dropped_state(%e : memref<3x16x64xf32>)
      new_state(%n : memref<16x64xf32>) mask(%m : memref<16xi1>) state(%h : memref<16x64xf32>)
      {units = 64, activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>}
  return
}

// -----

// An odd row goes to the first part, which has an operation of its own. A buffer
// that is read and written stays one.
// CHECK-LABEL: func.func @uneven
// CHECK: scf.parallel
// CHECK: scf.if
// CHECK: %[[S:.+]] = memref.subview %arg2[%{{.+}}, 0] [5, 64] [1, 1]
// CHECK: gru.step <all> {{.*}} new_state(%[[S]] : {{.*}} state(%[[S]] :
// CHECK: else
// CHECK: memref.subview %arg2[%{{.+}}, 0] [4, 64] [1, 1]
// CHECK: gru.step <all>
func.func @uneven(%p: memref<9x1x3x64xf32>, %U: memref<1x64x3x64xf32>, %h: memref<9x64xf32>) {
  gru.step <all> projection(%p : memref<9x1x3x64xf32>) kernel(%U : memref<1x64x3x64xf32>)
      new_state(%h : memref<9x64xf32>) state(%h : memref<9x64xf32>)
      {units = 64, activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>}
  return
}

// -----

// A projection of one row of a batch is cut in time, which stands elsewhere in its
// destination.
// CHECK-LABEL: func.func @projection
// CHECK: scf.parallel
// CHECK: %[[SIZE:.+]] = arith.subi
// CHECK: memref.subview %arg0[0, %{{.+}}, 0] [1, %[[SIZE]], 64]
// CHECK: memref.subview %arg2[%{{.+}}, 0, 0, 0, 0] [%[[SIZE]], 1, 4, 3, 16]
// CHECK: gru.packed_dense
func.func @projection(%x: memref<1x?x64xf32>, %W: memref<4x64x3x16xf32>, %p: memref<?x1x4x3x16xf32>) {
  gru.packed_dense ins(%x, %W : memref<1x?x64xf32>, memref<4x64x3x16xf32>) outs(%p : memref<?x1x4x3x16xf32>)
      {activation = #gru.act<linear>}
  return
}

// -----

// Left whole: rows too few to pay for the weights, work that takes less than
// threads take to meet, and what the cpu target's passes will share.
// CHECK-LABEL: func.func @whole
// CHECK-NOT: scf.parallel
func.func @whole(%p: memref<7x4x3x16xf32>, %U: memref<4x64x3x16xf32>, %h: memref<7x64xf32>, %n: memref<7x64xf32>,
                 %q: memref<16x1x3x16xf32>, %V: memref<1x16x3x16xf32>, %i: memref<16x16xf32>,
                 %r: memref<16x4x3x16xf32>, %s: memref<16x64xf32>, %t: memref<16x64xf32>, %u: memref<16x3x64xf32>) {
  gru.step <all> projection(%p : memref<7x4x3x16xf32>) kernel(%U : memref<4x64x3x16xf32>)
      new_state(%n : memref<7x64xf32>) state(%h : memref<7x64xf32>)
      {units = 64, activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>}
  gru.step <all> projection(%q : memref<16x1x3x16xf32>) kernel(%V : memref<1x16x3x16xf32>)
      new_state(%i : memref<16x16xf32>) state(%i : memref<16x16xf32>)
      {units = 16, activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>}
  gru.step <all> projection(%r : memref<16x4x3x16xf32>) kernel(%U : memref<4x64x3x16xf32>)
      preactivations(%u : memref<16x3x64xf32>) new_state(%t : memref<16x64xf32>) state(%s : memref<16x64xf32>)
      {units = 64, activation = #gru.act<softmax>, recurrent_activation = #gru.act<sigmoid>}
  return
}
