// RUN: %gru-opt-no-roundtrip %s --convert-gru-recur-to-loops="unroll-budget=6" --canonicalize -verify-diagnostics | FileCheck %s

// All steps are copies: no loop, and the double buffer's parity is known.
// CHECK-LABEL: func.func @full
func.func @full(%p: memref<3x1x1x3x16xf32>, %U: memref<1x7x3x16xf32>, %h: memref<1x7xf32>, %s: memref<1x3x7xf32>) {
  // CHECK-NOT: scf.for
  // CHECK-NOT: arith.remui
  // CHECK-COUNT-3: gru.step
  // CHECK-NOT: gru.step
  gru.recur ins(%p : memref<3x1x1x3x16xf32>) kernels(%U : memref<1x7x3x16xf32>) state(%h : memref<1x7xf32>) sequence(%s : memref<1x3x7xf32>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, order = #gru.order<forward>, reset_after, unroll}
  return
}

// CHECK-LABEL: func.func @over_budget
func.func @over_budget(%p: memref<9x1x1x3x16xf32>, %U: memref<1x7x3x16xf32>, %h: memref<1x7xf32>) {
  // Four at a time, and one left over.
  // CHECK: scf.for %{{.*}} = %c0 to %c8 step %c4
  // CHECK-COUNT-4: gru.step
  // CHECK: }
  // CHECK: gru.step
  // CHECK-NOT: gru.step
  // expected-remark @below {{unroll: 9 timesteps are more than the budget of 6, so the loop is unrolled by a factor of 4}}
  gru.recur ins(%p : memref<9x1x1x3x16xf32>) kernels(%U : memref<1x7x3x16xf32>) state(%h : memref<1x7xf32>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, order = #gru.order<forward>, reset_after, unroll}
  return
}

// CHECK-LABEL: func.func @dynamic
func.func @dynamic(%p: memref<?x1x1x3x16xf32>, %U: memref<1x7x3x16xf32>, %h: memref<1x7xf32>) {
  // CHECK: scf.for
  // CHECK-COUNT-4: gru.step
  // CHECK: scf.for
  // CHECK: gru.step
  // CHECK-NOT: gru.step
  // expected-remark @below {{unroll: the number of timesteps is dynamic, so the loop is unrolled by a factor of 4}}
  gru.recur ins(%p : memref<?x1x1x3x16xf32>) kernels(%U : memref<1x7x3x16xf32>) state(%h : memref<1x7xf32>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, order = #gru.order<forward>, reset_after, unroll}
  return
}

// CHECK-LABEL: func.func @one_step
func.func @one_step(%p: memref<1x1x1x3x16xf32>, %U: memref<1x7x3x16xf32>, %h: memref<1x7xf32>) {
  // CHECK-NOT: scf.for
  // CHECK: gru.step
  // CHECK-NOT: gru.step
  gru.recur ins(%p : memref<1x1x1x3x16xf32>) kernels(%U : memref<1x7x3x16xf32>) state(%h : memref<1x7xf32>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, order = #gru.order<forward>, reset_after, unroll}
  return
}
