// RUN: %gru-opt %s --convert-gru-quantize-rows-to-vector --split-input-file --verify-diagnostics | FileCheck %s
// RUN: %gru-opt %s --convert-gru-quantize-rows-to-vector="threads=2" --split-input-file --verify-diagnostics | FileCheck %s --check-prefix=TEAM

// Twenty columns: one whole vector and a part of one, whose other lanes are zeros.
// CHECK-LABEL: func.func @rows
// CHECK-SAME: %[[X:[a-z0-9]+]]: memref<3x20xf32, strided<[32, 1]>>, %[[Q:[a-z0-9]+]]: memref<3x32xi8>, %[[S:[a-z0-9]+]]: memref<3xf32>
// CHECK: scf.for %[[ROW:.+]] =
// The largest magnitude, as integers.
// CHECK: %[[M0:.+]] = scf.for
// CHECK: vector.load %[[X]][%[[ROW]], %{{.+}}]
// CHECK: vector.bitcast {{.*}} : vector<16xf32> to vector<16xi32>
// CHECK: arith.andi
// CHECK: arith.maxsi
// CHECK: vector.maskedload %[[X]][%[[ROW]], %{{.+}}]
// CHECK: %[[M1:.+]] = arith.maxsi %[[M0]]
// CHECK: %[[BITS:.+]] = vector.reduction <maxsi>, %[[M1]] : vector<16xi32> into i32
// CHECK: %[[M:.+]] = arith.bitcast %[[BITS]] : i32 to f32
// CHECK: %[[SCALE:.+]] = arith.mulf %[[M]]
// CHECK: memref.store %[[SCALE]], %[[S]][%[[ROW]]]
// CHECK: %[[DIVIDES:.+]] = arith.cmpf ogt, %[[M]]
// CHECK: arith.divf %{{.+}}, %[[M]]
// CHECK: arith.select %[[DIVIDES]]
// CHECK: scf.for
// CHECK: %[[SUM:.+]] = vector.fma
// CHECK: %[[I:.+]] = vector.bitcast %[[SUM]] : vector<16xf32> to vector<16xi32>
// CHECK: %[[B:.+]] = arith.trunci %[[I]] : vector<16xi32> to vector<16xi8>
// CHECK: vector.store %[[B]], %[[Q]]
// CHECK: vector.maskedload %[[X]]
// CHECK: vector.store %{{.+}}, %[[Q]]
// Too little for two.
// TEAM-LABEL: func.func @rows
// TEAM-NOT: scf.parallel
func.func @rows(%x: memref<3x20xf32, strided<[32, 1]>>, %q: memref<3x32xi8>, %s: memref<3xf32>) {
  gru.quantize_rows ins(%x : memref<3x20xf32, strided<[32, 1]>>) outs(%q, %s : memref<3x32xi8>, memref<3xf32>)
  return
}

// TEAM-LABEL: func.func @many
// TEAM: scf.parallel (%{{.+}}) = (%c0{{.*}}) to (%c2{{.*}})
func.func @many(%x: memref<64x512xf32>, %q: memref<64x512xi8>, %s: memref<64xf32>) {
  gru.quantize_rows ins(%x : memref<64x512xf32>) outs(%q, %s : memref<64x512xi8>, memref<64xf32>)
  return
}

// -----

func.func @tensors(%x: tensor<3x20xf32>, %q: tensor<3x32xi8>, %s: tensor<3xf32>) -> tensor<3x32xi8> {
  // expected-error @+1 {{is on tensors, expected memrefs}}
  %0:2 = gru.quantize_rows ins(%x : tensor<3x20xf32>) outs(%q, %s : tensor<3x32xi8>, tensor<3xf32>) -> tensor<3x32xi8>, tensor<3xf32>
  return %0#0 : tensor<3x32xi8>
}
