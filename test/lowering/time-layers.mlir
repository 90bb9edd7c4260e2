// RUN: %gru-opt %s --gru-time-layers --split-input-file --verify-diagnostics | FileCheck %s
// RUN: %gru-opt %s --gru-time-layers="clock=llvm.readsteadycounter" --split-input-file --verify-diagnostics | FileCheck %s --check-prefix=STEADY

// A clock in front of each layer and behind it. What belongs to one layer is one.
// CHECK-LABEL: func.func @layers
// CHECK-SAME: %[[L:[a-z0-9]+]]: memref<4xi64> {gru.dims = array<i64: 4>, gru.name = "profile:dense", gru.output}
// CHECK-SAME: memref<4xi64> {gru.dims = array<i64: 4>, gru.name = "profile:memref.copy", gru.output}
// CHECK-SAME: %[[ALL:[a-z0-9]+]]: memref<4xi64> {gru.dims = array<i64: 4>, gru.name = "profile:", gru.output}
// STEADY: llvm.call_intrinsic "llvm.readsteadycounter"
func.func @layers(%x: memref<?x3xf32>, %y: memref<?x3xf32>) {
  // CHECK: %[[BEGIN:.+]] = llvm.call_intrinsic "llvm.readcyclecounter"
  // CHECK: %[[BEFORE:.+]] = llvm.call_intrinsic "llvm.readcyclecounter"
  // CHECK: linalg.exp
  // CHECK-NEXT: linalg.add
  // CHECK: %[[AFTER:.+]] = llvm.call_intrinsic "llvm.readcyclecounter"
  // CHECK: %[[TICKS:.+]] = arith.subi %[[AFTER]], %[[BEFORE]]
  linalg.exp ins(%x : memref<?x3xf32>) outs(%y : memref<?x3xf32>) loc("dense")
  linalg.add ins(%x, %y : memref<?x3xf32>, memref<?x3xf32>) outs(%y : memref<?x3xf32>) loc("dense")
  // CHECK: memref.copy
  memref.copy %x, %y : memref<?x3xf32> to memref<?x3xf32>
  // CHECK: linalg.exp
  // CHECK: %[[MORE:.+]] = arith.subi
  // CHECK: %[[SUM:.+]] = arith.addi %[[TICKS]], %[[MORE]]
  linalg.exp ins(%x : memref<?x3xf32>) outs(%y : memref<?x3xf32>) loc("dense")
  // CHECK: memref.store %[[SUM]], %[[L]][%c0
  // CHECK: arith.subi %{{.*}}, %[[BEGIN]]
  // CHECK: memref.store %{{.*}}, %[[ALL]][
  return
}

// -----

// expected-error @+1 {{has results, expected buffers (see gru-bind-buffers)}}
func.func @tensors(%x: tensor<3xf32>) -> tensor<3xf32> {
  return %x : tensor<3xf32>
}
