// Operations of every level become scalar loops.
// RUN: %gru-opt %s --convert-gru-to-reference-loops | FileCheck %s --implicit-check-not=vector.

// CHECK-LABEL: func.func @gru
func.func @gru(%x: tensor<2x?x3xf64>, %W: tensor<3x12xf64>, %U: tensor<4x12xf64>, %b: tensor<2x12xf64>) -> tensor<2x?x4xf64> {
  // Loops over time, rows of the batch, units, features; sums as in the formula.
  // CHECK: %[[SEQ:.+]] = memref.alloc(%[[T:.+]]) : memref<2x?x4xf64>
  // CHECK: scf.for %[[I:.+]] = %{{.*}} to %[[T]]
  // CHECK: scf.for %[[ROW:.+]] =
  // CHECK: scf.for %{{.*}} iter_args
  // CHECK: arith.mulf
  // CHECK: arith.addf
  // CHECK-COUNT-2: gru.activation %{{.*}} {kind = #gru.act<sigmoid>} : f64
  // CHECK: gru.activation %{{.*}} {kind = #gru.act<tanh>} : f64
  // CHECK: memref.store %{{.*}}, %[[SEQ]][%[[ROW]], %[[I]], %{{.*}}]
  // CHECK: %[[RESULT:.+]] = bufferization.to_tensor %[[SEQ]]
  // CHECK: return %[[RESULT]]
  %seq, %last, %state = gru.gru %x kernel(%W, %U) bias(%b : tensor<2x12xf64>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, reset_after}
      : tensor<2x?x3xf64>, tensor<3x12xf64>, tensor<4x12xf64> -> tensor<2x?x4xf64>, tensor<2x4xf64>, tensor<2x4xf64>
  return %seq : tensor<2x?x4xf64>
}

// What the cpu target refuses or rewrites is taken as it is: lengths, dropout
// masks per gate, a dynamic batch.
// CHECK-LABEL: func.func @gru_everything
// CHECK-NOT: gru.gru
func.func @gru_everything(%x: tensor<?x?x3xf64>, %W: tensor<3x12xf64>, %U: tensor<4x12xf64>, %b: tensor<12xf64>, %h: tensor<?x4xf64>,
                          %n: tensor<?xi32>, %r: tensor<?x?xi1>, %d: tensor<3x?x3xf64>, %rd: tensor<3x?x4xf64>)
    -> (tensor<?x?x4xf64>, tensor<?x4xf64>, tensor<?x4xf64>) {
  // CHECK: return
  %0:3 = gru.gru %x kernel(%W, %U) bias(%b : tensor<12xf64>) initial_state(%h : tensor<?x4xf64>) lengths(%n : tensor<?xi32>)
      reset(%r : tensor<?x?xi1>) dropout_mask(%d : tensor<3x?x3xf64>) recurrent_dropout_mask(%rd : tensor<3x?x4xf64>)
      {activation = #gru.act<softmax>, recurrent_activation = #gru.act<sparsemax>, go_backwards, implementation = 1 : i64, clip = 2.0 : f64}
      : tensor<?x?x3xf64>, tensor<3x12xf64>, tensor<4x12xf64> -> tensor<?x?x4xf64>, tensor<?x4xf64>, tensor<?x4xf64>
  return %0#0, %0#1, %0#2 : tensor<?x?x4xf64>, tensor<?x4xf64>, tensor<?x4xf64>
}

// Recurrent dropout below the layer: products read the state times the mask.
// CHECK-LABEL: func.func @recur_dropout
// CHECK-SAME: %[[M:[a-z0-9]+]]: memref<3x2x7xf64>)
// CHECK-NOT: gru.recur
func.func @recur_dropout(%p: memref<5x2x1x3x16xf64>, %U: memref<1x7x3x16xf64>, %h: memref<2x7xf64>, %m: memref<3x2x7xf64>) {
  // CHECK: %[[H:.+]] = memref.load %{{.*}} : memref<2x7xf64>
  // CHECK: %[[F:.+]] = memref.load %[[M]][
  // CHECK-NEXT: arith.mulf %[[H]], %[[F]]
  gru.recur ins(%p : memref<5x2x1x3x16xf64>) kernels(%U : memref<1x7x3x16xf64>) recurrent_dropout_mask(%m : memref<3x2x7xf64>)
      state(%h : memref<2x7xf64>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, order = #gru.order<forward>, reset_after}
  return
}

// CHECK-LABEL: func.func @cell
// CHECK-NOT: gru.cell
func.func @cell(%x: tensor<?x3xf64>, %h: tensor<?x4xf64>, %W: tensor<3x12xf64>, %U: tensor<4x12xf64>, %b: tensor<2x12xf64>) -> tensor<?x4xf64> {
  // CHECK: scf.for
  // CHECK: return
  %0 = gru.cell %x, %h kernel(%W, %U) bias(%b : tensor<2x12xf64>) {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, reset_after}
      : tensor<?x3xf64>, tensor<?x4xf64>, tensor<3x12xf64>, tensor<4x12xf64> -> tensor<?x4xf64>
  return %0 : tensor<?x4xf64>
}

// CHECK-LABEL: func.func @dense
func.func @dense(%x: tensor<2x?x3xf64>, %W: tensor<3x5xf64>, %b: tensor<5xf64>) -> (tensor<2x?x5xf64>, tensor<2x?x5xf64>) {
  // CHECK: gru.activation %{{.*}} {kind = #gru.act<relu{{.*}}>} : f64
  %0 = gru.dense %x, %W bias(%b : tensor<5xf64>) {activation = #gru.act<relu>} : tensor<2x?x3xf64>, tensor<3x5xf64> -> tensor<2x?x5xf64>
  // CHECK: math.exp
  // CHECK-NOT: gru.dense
  %1 = gru.dense %x, %W {activation = #gru.act<softmax>} : tensor<2x?x3xf64>, tensor<3x5xf64> -> tensor<2x?x5xf64>
  return %0, %1 : tensor<2x?x5xf64>, tensor<2x?x5xf64>
}

// CHECK-LABEL: func.func @sequence_level
// CHECK-NOT: gru.{{pack|recur}}
func.func @sequence_level(%x: tensor<2x?x3xf64>, %W: tensor<3x12xf64>, %U: tensor<4x12xf64>, %b: tensor<2x12xf64>, %h: tensor<2x4xf64>, %m: tensor<2x?xi1>) -> tensor<2x4xf64> {
  // CHECK: memref.alloc() : memref<2x3x3x2xf64>
  %Wp = gru.pack %W {part = #gru.part<all>, gates = 3, width = 2} : tensor<3x12xf64> -> tensor<2x3x3x2xf64>
  %Up = gru.pack %U {part = #gru.part<all>, gates = 3, width = 2} : tensor<4x12xf64> -> tensor<2x4x3x2xf64>
  %bp = gru.pack %b {part = #gru.part<input_bias>, gates = 3, width = 2} : tensor<2x12xf64> -> tensor<2x3x2xf64>
  %cp = gru.pack %b {part = #gru.part<recurrent_bias>, gates = 3, width = 2} : tensor<2x12xf64> -> tensor<2x1x2xf64>
  %c1 = arith.constant 1 : index
  %t = tensor.dim %x, %c1 : tensor<2x?x3xf64>
  %e = tensor.empty(%t) : tensor<?x2x2x3x2xf64>
  %p = gru.packed_dense ins(%x, %Wp : tensor<2x?x3xf64>, tensor<2x3x3x2xf64>) bias(%bp : tensor<2x3x2xf64>) outs(%e : tensor<?x2x2x3x2xf64>)
      {activation = #gru.act<linear>} -> tensor<?x2x2x3x2xf64>
  // CHECK: return
  %s = gru.recur ins(%p : tensor<?x2x2x3x2xf64>) kernels(%Up : tensor<2x4x3x2xf64>) recurrent_bias(%cp : tensor<2x1x2xf64>) mask(%m : tensor<2x?xi1>) state(%h : tensor<2x4xf64>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, order = #gru.order<backward>, reset_after} -> tensor<2x4xf64>
  return %s : tensor<2x4xf64>
}

// On memrefs the operations write where they are told. A step's own buffers stand
// in front of the time loop around it.
// CHECK-LABEL: func.func @memrefs
// CHECK-SAME: %[[Y:[a-z0-9]+]]: memref<2x5xf64>
func.func @memrefs(%x: memref<2x3xf64>, %W: memref<1x3x1x8xf64>, %p: memref<2x1x3x16xf64>, %U: memref<1x7x3x16xf64>, %h: memref<2x16xf64>, %n: memref<2x16xf64>, %y: memref<2x5xf64>) {
  // CHECK: memref.alloc() : memref<7xf64>
  // CHECK: memref.store %{{.*}}, %[[Y]]
  gru.packed_dense ins(%x, %W : memref<2x3xf64>, memref<1x3x1x8xf64>) outs(%y : memref<2x5xf64>) {activation = #gru.act<tanh>}
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c9 = arith.constant 9 : index
  // CHECK: scf.for %{{.*}} = %c0{{.*}} to %c9
  // CHECK-NOT: memref.alloc
  // CHECK-NOT: gru.step
  // CHECK: return
  scf.for %i = %c0 to %c9 step %c1 {
    gru.step <all> projection(%p : memref<2x1x3x16xf64>) kernel(%U : memref<1x7x3x16xf64>) new_state(%n : memref<2x16xf64>) state(%h : memref<2x16xf64>)
        {units = 7, activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>}
  }
  return
}
