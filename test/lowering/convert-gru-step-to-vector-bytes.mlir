// RUN: %gru-opt %s --convert-gru-step-to-vector --canonicalize | FileCheck %s
// RUN: %gru-opt %s --convert-gru-recur-to-loops | FileCheck %s --check-prefix=LOOP

// Sums of bytes begin with row 0 of the kernel, run over rows of four, and are scaled
// once; then the projection is added.
// CHECK-LABEL: func.func @step
// CHECK-SAME: %[[P:[a-z0-9]+]]: memref<1x1x3x16xf32>, %[[U:[a-z0-9]+]]: memref<1x3x3x64xi8>, %[[US:[a-z0-9]+]]: memref<1x3x16xf32>, %[[Q:[a-z0-9]+]]: memref<1x16xi8>, %[[R:[a-z0-9]+]]: memref<1xf32>
func.func @step(%p: memref<1x1x3x16xf32>, %U: memref<1x3x3x64xi8>, %us: memref<1x3x16xf32>, %q: memref<1x16xi8>, %r: memref<1xf32>,
                %c: memref<1x1x16xf32>, %h: memref<1x16xf32>, %n: memref<1x16xf32>) {
  // CHECK: %[[W0:.+]] = vector.load %[[U]][%c0, %c0, %c0, %c0] : {{.*}}, vector<64xi8>
  // CHECK: %[[Z0:.+]] = vector.bitcast %[[W0]] : vector<64xi8> to vector<16xi32>
  // CHECK: %[[SUMS:.+]]:3 = scf.for %[[K:.+]] = %c0 to %c2 step %c1 iter_args(%[[Z:[a-z0-9]+]] = %[[Z0]],
  // CHECK: %[[NEXT:.+]] = arith.addi %[[K]], %c1
  // CHECK: %[[COLUMN:.+]] = arith.muli %[[K]], %c4
  // CHECK: %[[FOUR:.+]] = vector.load %[[Q]][%c0, %[[COLUMN]]] : memref<1x16xi8>, vector<4xi8>
  // CHECK: %[[WORD:.+]] = vector.bitcast %[[FOUR]] : vector<4xi8> to vector<1xi32>
  // CHECK: %[[LEFT:.+]] = vector.bitcast %{{.+}} : vector<16xi32> to vector<64xi8>
  // CHECK: %[[W:.+]] = vector.load %[[U]][%c0, %[[NEXT]], %c0, %c0]
  // CHECK: gru.dot_bytes %[[LEFT]], %[[W]], %[[Z]] : vector<64xi8>, vector<16xi32>
  // CHECK-COUNT-2: gru.dot_bytes
  // CHECK: memref.load %[[R]][%c0]
  // CHECK: vector.load %[[US]][%c0, %c0, %c0]
  // CHECK: %[[F:.+]] = arith.sitofp %[[SUMS]]#0 : vector<16xi32> to vector<16xf32>
  // CHECK: %[[BOTH:.+]] = arith.mulf
  // CHECK: vector.fma %[[F]], %[[BOTH]]
  gru.step <all> projection(%p : memref<1x1x3x16xf32>) kernel(%U : memref<1x3x3x64xi8>) kernel_scale(%us : memref<1x3x16xf32>)
      bytes(%q : memref<1x16xi8>) row_scale(%r : memref<1xf32>) recurrent_bias(%c : memref<1x1x16xf32>) new_state(%n : memref<1x16xf32>)
      state(%h : memref<1x16xf32>) {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, units = 7}
  return
}

// Without reset_after both products have bytes of their own, made in between.
// LOOP-LABEL: func.func @phases
// LOOP-SAME: %[[H:[a-z0-9]+]]: memref<2x7xf32>
// LOOP-DAG: %[[BYTES:.+]] = memref.alloc() : memref<2x16xi8>
// LOOP-DAG: %[[SCALE:.+]] = memref.alloc() : memref<2xf32>
// LOOP: scf.for
// LOOP: gru.quantize_rows ins(%{{.+}} : memref<2x7xf32, {{.*}}>) outs(%[[BYTES]], %[[SCALE]] :
// LOOP: gru.step <gates> {{.*}} bytes(%[[BYTES]] : memref<2x16xi8>) row_scale(%[[SCALE]] : memref<2xf32>) {{.*}} reset_state(%[[U:[a-z0-9_]+]] :
// LOOP: %[[UNPADDED:.+]] = memref.subview %[[U]]
// LOOP: gru.quantize_rows ins(%[[UNPADDED]] :
// LOOP: gru.step <candidate> {{.*}} bytes(%[[BYTES]]
func.func @phases(%h: memref<2x7xf32>, %p: memref<5x2x1x3x16xf32>, %U: memref<1x3x2x64xi8>, %us: memref<1x2x16xf32>, %V: memref<1x3x1x64xi8>, %vs: memref<1x1x16xf32>) {
  gru.recur ins(%p : memref<5x2x1x3x16xf32>) kernels(%U, %V : memref<1x3x2x64xi8>, memref<1x3x1x64xi8>)
      kernel_scales(%us, %vs : memref<1x2x16xf32>, memref<1x1x16xf32>) state(%h : memref<2x7xf32>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, order = #gru.order<forward>}
  return
}
