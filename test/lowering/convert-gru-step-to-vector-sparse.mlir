// RUN: %gru-opt %s --convert-gru-step-to-vector --canonicalize | FileCheck %s

// Of one row a sum is made of four chains, over a multiple of four of the listed
// rows; the others follow one by one.
// CHECK-LABEL: func.func @row
// CHECK-SAME: %[[U:[a-z0-9]+]]: memref<5x65x3x16xf32>, %[[R:[a-z0-9]+]]: memref<5x3x66xi32>, %{{.+}}: memref<5x1x16xf32>, %[[H:[a-z0-9]+]]: memref<1x80xf32>
// CHECK: scf.for %[[B:.+]] = %c0 to %c5
// CHECK: %[[N:.+]] = memref.load %[[R]][%[[B]], %c0, %c0]
// CHECK: %[[COUNT:.+]] = arith.index_castui %[[N]] : i32 to index
// CHECK: %[[END:.+]] = arith.addi %[[COUNT]], %c1
// CHECK: %[[WHOLE:.+]] = arith.subi %[[END]], %
// CHECK: %[[FOUR:.+]]:4 = scf.for %[[AT:.+]] = %c1 to %[[WHOLE]] step %c4 iter_args
// CHECK: %[[K32:.+]] = memref.load %[[R]][%[[B]], %c0, %[[AT]]]
// CHECK: %[[K:.+]] = arith.index_castui %[[K32]]
// CHECK: %[[X:.+]] = memref.load %[[H]][%c0, %[[K]]]
// CHECK: vector.load %[[U]][%[[B]], %[[K]], %c0, %c0]
// CHECK-COUNT-4: vector.fma
// CHECK: arith.addf %[[FOUR]]#0, %[[FOUR]]#2
// CHECK: scf.for %{{.+}} = %[[WHOLE]] to %[[END]] step %c1
// CHECK: vector.fma
// CHECK: memref.load %[[R]][%[[B]], %c1, %c0]
// CHECK: memref.load %[[R]][%[[B]], %c2, %c0]
func.func @row(%p: memref<1x5x3x16xf32>, %U: memref<5x65x3x16xf32>, %r: memref<5x3x66xi32>, %c: memref<5x1x16xf32>,
               %h: memref<1x80xf32>, %n: memref<1x80xf32>) {
  gru.step <all> projection(%p : memref<1x5x3x16xf32>) kernel(%U : memref<5x65x3x16xf32>) kernel_rows(%r : memref<5x3x66xi32>)
      recurrent_bias(%c : memref<5x1x16xf32>) new_state(%n : memref<1x80xf32>)
      state(%h : memref<1x80xf32>) {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, units = 65}
  return
}

// Several rows bring sums enough: a chain each, and a weight is loaded for all.
// CHECK-LABEL: func.func @rows
// CHECK: %[[END:.+]] = arith.addi %{{.+}}, %c1
// CHECK: scf.for %{{.+}} = %c1 to %[[END]] step %c1 iter_args({{.*}}) -> (vector<16xf32>, vector<16xf32>, vector<16xf32>, vector<16xf32>) {
// CHECK-COUNT-4: vector.fma
// CHECK: scf.yield
func.func @rows(%p: memref<4x5x3x16xf32>, %U: memref<5x65x1x16xf32>, %r: memref<5x1x66xi32>, %z: memref<4x80xf32>,
                %u: memref<4x80xf32>, %h: memref<4x80xf32>, %n: memref<4x80xf32>) {
  gru.step <candidate> projection(%p : memref<4x5x3x16xf32>) kernel(%U : memref<5x65x1x16xf32>) kernel_rows(%r : memref<5x1x66xi32>)
      update(%z : memref<4x80xf32>) reset_state(%u : memref<4x80xf32>) new_state(%n : memref<4x80xf32>)
      state(%h : memref<4x80xf32>) {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, rows = 4, units = 65}
  return
}
