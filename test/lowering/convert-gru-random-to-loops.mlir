// RUN: %gru-opt %s --convert-gru-random-to-loops | FileCheck %s

// 45 elements are one group of 64: ten rounds on vectors of 16 counters, and four
// stores that are masked behind the end.
// CHECK-LABEL: func.func @static
// CHECK-SAME: %[[KEY:[a-z0-9]+]]: tensor<3xi64>
func.func @static(%key: tensor<3xi64>, %x: tensor<3x5xf32>) -> tensor<3x3x5xf32> {
  // CHECK: %[[BUFFER:.+]] = bufferization.to_buffer %[[KEY]] read_only
  // CHECK: memref.load %[[BUFFER]][%c0
  // CHECK: memref.load %[[BUFFER]][%c1
  // CHECK: %[[MASK:.+]] = memref.alloc() : memref<3x3x5xf32>
  // CHECK: %[[FLAT:.+]] = memref.collapse_shape %[[MASK]] {{.*}} into memref<45xf32>
  // CHECK: scf.for
  // CHECK-COUNT-20: arith.mului_extended {{.*}} : vector<16xi32>
  // CHECK-NOT: arith.mului_extended
  // CHECK-COUNT-4: vector.maskedstore %[[FLAT]]
  // CHECK: bufferization.to_tensor %[[MASK]]
  %m = gru.dropout_mask %key like %x {dims = array<i64: 3, -1, -2>, rate = 0.25, scale = 1.3333334, stream = 0}
      : tensor<3xi64>, tensor<3x5xf32> -> tensor<3x3x5xf32>
  return %m : tensor<3x3x5xf32>
}

// A seed of its own stands for the key's; recurrent masks count by themselves.
// CHECK-LABEL: func.func @seeded
func.func @seeded(%key: tensor<3xi64>, %x: tensor<2x?xf64>) -> tensor<2x?xf64> {
  // CHECK: arith.constant dense<7> : vector<16xi32>
  // CHECK: memref.load %{{.*}}[%c2
  // CHECK-NOT: memref.load
  // CHECK: %[[T:.+]] = tensor.dim
  // CHECK: memref.alloc(%[[T]]) : memref<2x?xf64>
  %m = gru.dropout_mask %key like %x {dims = array<i64: -1, -2>, rate = 0.5, scale = 2.0, stream = 1, seed = 7, recurrent}
      : tensor<3xi64>, tensor<2x?xf64> -> tensor<2x?xf64>
  return %m : tensor<2x?xf64>
}

// Two words make two numbers: a radius of one, an angle of the other, in float64
// whatever the type. No function is called, and nothing is fused.
// CHECK-LABEL: func.func @normal
func.func @normal(%key: tensor<3xi64>, %x: tensor<2x4xf16>) -> tensor<2x4xf16> {
  // CHECK-COUNT-20: arith.mului_extended {{.*}} : vector<16xi32>
  // CHECK-NOT: math.{{[^s]}}
  // CHECK: math.sqrt {{.*}} : vector<16xf64>
  // CHECK: math.sqrt {{.*}} : vector<16xf64>
  // CHECK: %[[SINGLE:.+]] = arith.truncf {{.*}} : vector<16xf64> to vector<16xf32>
  // CHECK: %[[HALF:.+]] = arith.truncf %[[SINGLE]] : vector<16xf32> to vector<16xf16>
  // CHECK: vector.maskedstore {{.*}}, %[[HALF]]
  // CHECK-COUNT-3: vector.maskedstore
  // CHECK-NOT: vector.maskedstore
  %n = gru.random_normal %key like %x {dims = array<i64: -1, -2>, mean = 1.0, stddev = 0.5, stream = 0}
      : tensor<3xi64>, tensor<2x4xf16> -> tensor<2x4xf16>
  return %n : tensor<2x4xf16>
}
