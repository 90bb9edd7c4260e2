// RUN: %gru-opt %s --gru-run-side-by-side=threads=2 --split-input-file | FileCheck %s
// RUN: %gru-opt %s --gru-run-side-by-side=threads=4 --split-input-file | FileCheck %s --check-prefix=FOUR

!projection = memref<?x1x4x3x16xf32>
!kernel = memref<4x64x3x16xf32>

// The two directions write each its half of one buffer. What stands between goes
// in front where it prepares the second one, and behind where it reads the first.
// CHECK-LABEL: func.func @directions
// CHECK-SAME: %[[P:[a-z0-9]+]]: memref<?x1x4x3x16xf32>, %[[U:[a-z0-9]+]]: {{.*}}, %[[H:[a-z0-9]+]]: memref<1x64xf32>, %[[G:[a-z0-9]+]]: memref<1x64xf32>, %[[Y:[a-z0-9]+]]: memref<1x?x128xf32>, %[[Z:[a-z0-9]+]]: memref<1x64xf32>
// Steps of 64 units are too short to be shared, so more threads change nothing.
// FOUR-LABEL: func.func @directions
// FOUR: scf.parallel
func.func @directions(%p: !projection, %U: !kernel, %h: memref<1x64xf32>, %g: memref<1x64xf32>, %y: memref<1x?x128xf32>, %z: memref<1x64xf32>) {
  %zero = arith.constant 0.0 : f32
  %c1 = arith.constant 1 : index
  %t = memref.dim %y, %c1 : memref<1x?x128xf32>
  // CHECK: linalg.fill {{.*}} outs(%[[G]] :
  // CHECK: scf.parallel (%[[I:.+]]) = (%{{.*}}) to (%c2{{.*}}) step
  // CHECK-NEXT: scf.index_switch %[[I]]
  // CHECK-NEXT: case 0 {
  // CHECK-NEXT: gru.recur {{.*}} state(%[[H]] : {{.*}} order = #gru.order<forward>
  // CHECK: default {
  // CHECK-NEXT: gru.recur {{.*}} state(%[[G]] : {{.*}} order = #gru.order<backward>
  // CHECK: } {gru.products = 393216 : i64}
  // CHECK-NEXT: memref.copy %[[H]], %[[Z]]
  %first = memref.subview %y[0, 0, 0] [1, %t, 64] [1, 1, 1] : memref<1x?x128xf32> to memref<1x?x64xf32, strided<[?, 128, 1]>>
  gru.recur ins(%p : !projection) kernels(%U : !kernel) state(%h : memref<1x64xf32>) sequence(%first : memref<1x?x64xf32, strided<[?, 128, 1]>>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, order = #gru.order<forward>, reset_after}
  memref.copy %h, %z : memref<1x64xf32> to memref<1x64xf32>
  linalg.fill ins(%zero : f32) outs(%g : memref<1x64xf32>)
  %second = memref.subview %y[0, 0, 64] [1, %t, 64] [1, 1, 1] : memref<1x?x128xf32> to memref<1x?x64xf32, strided<[?, 128, 1], offset: 64>>
  gru.recur ins(%p : !projection) kernels(%U : !kernel) state(%g : memref<1x64xf32>) sequence(%second : memref<1x?x64xf32, strided<[?, 128, 1], offset: 64>>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, order = #gru.order<backward>, reset_after}
  return
}

// -----

// The second layer reads what the first one writes.
// CHECK-LABEL: func.func @stack
// CHECK-NOT: scf.parallel
func.func @stack(%p: memref<?x1x4x3x16xf32>, %U: memref<4x64x3x16xf32>, %W: memref<4x64x3x16xf32>, %h: memref<1x64xf32>, %g: memref<1x64xf32>, %y: memref<1x?x64xf32>) {
  gru.recur ins(%p : memref<?x1x4x3x16xf32>) kernels(%U : memref<4x64x3x16xf32>) state(%h : memref<1x64xf32>) sequence(%y : memref<1x?x64xf32>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, order = #gru.order<forward>, reset_after}
  gru.recur input(%y : memref<1x?x64xf32>) input_kernel(%W : memref<4x64x3x16xf32>) kernels(%U : memref<4x64x3x16xf32>) state(%g : memref<1x64xf32>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, order = #gru.order<forward>, reset_after}
  return
}

// -----

// Two recurrences of one state: the second begins where the first ends.
// CHECK-LABEL: func.func @same_state
// CHECK-NOT: scf.parallel
func.func @same_state(%p: memref<?x1x4x3x16xf32>, %U: memref<4x64x3x16xf32>, %h: memref<1x64xf32>) {
  gru.recur ins(%p : memref<?x1x4x3x16xf32>) kernels(%U : memref<4x64x3x16xf32>) state(%h : memref<1x64xf32>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, order = #gru.order<forward>, reset_after}
  gru.recur ins(%p : memref<?x1x4x3x16xf32>) kernels(%U : memref<4x64x3x16xf32>) state(%h : memref<1x64xf32>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, order = #gru.order<forward>, reset_after}
  return
}

// -----

// One step of a few units is over before threads come together.
// CHECK-LABEL: func.func @too_little
// CHECK-NOT: scf.parallel
func.func @too_little(%p: memref<1x1x1x3x16xf32>, %U: memref<1x16x3x16xf32>, %h: memref<1x16xf32>, %g: memref<1x16xf32>) {
  gru.recur ins(%p : memref<1x1x1x3x16xf32>) kernels(%U : memref<1x16x3x16xf32>) state(%h : memref<1x16xf32>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, order = #gru.order<forward>, reset_after}
  gru.recur ins(%p : memref<1x1x1x3x16xf32>) kernels(%U : memref<1x16x3x16xf32>) state(%g : memref<1x16xf32>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, order = #gru.order<forward>, reset_after}
  return
}

// -----

// Long steps: two threads take a direction each, four share the steps.
// CHECK-LABEL: func.func @long_steps
// CHECK: scf.parallel
// FOUR-LABEL: func.func @long_steps
// FOUR-NOT: scf.parallel
func.func @long_steps(%p: memref<?x1x8x3x16xf32>, %U: memref<8x128x3x16xf32>, %h: memref<1x128xf32>, %g: memref<1x128xf32>) {
  gru.recur ins(%p : memref<?x1x8x3x16xf32>) kernels(%U : memref<8x128x3x16xf32>) state(%h : memref<1x128xf32>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, order = #gru.order<forward>, reset_after}
  gru.recur ins(%p : memref<?x1x8x3x16xf32>) kernels(%U : memref<8x128x3x16xf32>) state(%g : memref<1x128xf32>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, order = #gru.order<backward>, reset_after}
  return
}

// -----

// A kernel of 3 MB is more than one core's caches hold.
// CHECK-LABEL: func.func @large
// CHECK-NOT: scf.parallel
func.func @large(%p: memref<?x1x32x3x16xf32>, %U: memref<32x512x3x16xf32>, %h: memref<1x512xf32>, %g: memref<1x512xf32>) {
  gru.recur ins(%p : memref<?x1x32x3x16xf32>) kernels(%U : memref<32x512x3x16xf32>) state(%h : memref<1x512xf32>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, order = #gru.order<forward>, reset_after}
  gru.recur ins(%p : memref<?x1x32x3x16xf32>) kernels(%U : memref<32x512x3x16xf32>) state(%g : memref<1x512xf32>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, order = #gru.order<backward>, reset_after}
  return
}
