// RUN: %gru-opt %s --gru-share-kernels --split-input-file | FileCheck %s

// Three products that differ in their buffers only. What lies inside of another
// buffer loses its offset, and is apart from what has no gaps.
// CHECK: func.func private @gru_shared(%[[X:.+]]: memref<4x8xf32>, %[[W:.+]]: memref<1x8x1x16xf32>, %[[Y:.+]]: memref<4x16xf32, strided<[32, 1], offset: ?>>)
// CHECK-SAME: llvm.linkage = #llvm.linkage<internal>
// CHECK-NEXT: gru.packed_dense ins(%[[X]], %[[W]] : {{.*}}) outs(%[[Y]] :
// CHECK-NEXT: return
// CHECK-LABEL: func.func @products
func.func @products(%x: memref<4x8xf32>, %v: memref<1x8x1x16xf32>, %w: memref<1x8x1x16xf32>, %y: memref<4x32xf32>, %z: memref<4x16xf32>) {
  %a = memref.subview %y[0, 0] [4, 16] [1, 1] : memref<4x32xf32> to memref<4x16xf32, strided<[32, 1]>>
  %b = memref.subview %y[0, 16] [4, 16] [1, 1] : memref<4x32xf32> to memref<4x16xf32, strided<[32, 1], offset: 16>>
  // CHECK: %[[A:.+]] = memref.cast %{{.*}} to memref<4x16xf32, strided<[32, 1], offset: ?>>
  // CHECK-NEXT: call @gru_shared(%arg0, %arg1, %[[A]])
  gru.packed_dense ins(%x, %v : memref<4x8xf32>, memref<1x8x1x16xf32>) outs(%a : memref<4x16xf32, strided<[32, 1]>>) {activation = #gru.act<linear>, rows = 4}
  // CHECK: call @gru_shared(%arg0, %arg2,
  gru.packed_dense ins(%x, %w : memref<4x8xf32>, memref<1x8x1x16xf32>) outs(%b : memref<4x16xf32, strided<[32, 1], offset: 16>>) {activation = #gru.act<linear>, rows = 4}
  // CHECK: call @gru_shared(%arg0, %arg1,
  gru.packed_dense ins(%x, %v : memref<4x8xf32>, memref<1x8x1x16xf32>) outs(%b : memref<4x16xf32, strided<[32, 1], offset: 16>>) {activation = #gru.act<linear>, rows = 4}
  // CHECK: gru.packed_dense
  gru.packed_dense ins(%x, %w : memref<4x8xf32>, memref<1x8x1x16xf32>) outs(%z : memref<4x16xf32>) {activation = #gru.act<linear>, rows = 4}
  // CHECK: gru.packed_dense {{.*}} #gru.act<tanh>
  gru.packed_dense ins(%x, %v : memref<4x8xf32>, memref<1x8x1x16xf32>) outs(%a : memref<4x16xf32, strided<[32, 1]>>) {activation = #gru.act<tanh>, rows = 4}
  return
}

// -----

// Two copies are enough where a run of one takes longer than a call.
// CHECK: func.func private @gru_shared
// CHECK-LABEL: func.func @long
func.func @long(%x: memref<64x64xf32>, %v: memref<4x64x1x16xf32>, %y: memref<64x64xf32>) {
  // CHECK-COUNT-2: call @gru_shared
  gru.packed_dense ins(%x, %v : memref<64x64xf32>, memref<4x64x1x16xf32>) outs(%y : memref<64x64xf32>) {activation = #gru.act<linear>, rows = 4}
  gru.packed_dense ins(%y, %v : memref<64x64xf32>, memref<4x64x1x16xf32>) outs(%x : memref<64x64xf32>) {activation = #gru.act<linear>, rows = 4}
  return
}

// CHECK-NOT: gru_shared
// CHECK-LABEL: func.func @short
func.func @short(%x: memref<1x8xf32>, %v: memref<1x8x1x16xf32>, %y: memref<1x16xf32>, %z: memref<1x16xf32>) {
  // CHECK-NOT: call
  gru.packed_dense ins(%x, %v : memref<1x8xf32>, memref<1x8x1x16xf32>) outs(%y : memref<1x16xf32>) {activation = #gru.act<linear>, rows = 4}
  gru.packed_dense ins(%x, %v : memref<1x8xf32>, memref<1x8x1x16xf32>) outs(%z : memref<1x16xf32>) {activation = #gru.act<linear>, rows = 4}
  return
}

// -----

#row = affine_map<(d0, d1) -> (d0, d1)>
#sum = affine_map<(d0, d1) -> (d0)>

// A fill goes along with the sum that starts from it, if nothing reads it in
// between; the number is part of what must be equal.
// CHECK: func.func private @gru_shared(%[[X:.+]]: memref<64x64xf32>, %[[Y:.+]]: memref<64xf32>)
// CHECK: %[[ZERO:.+]] = arith.constant 0.0
// CHECK: linalg.fill ins(%[[ZERO]] : f32) outs(%[[Y]] :
// CHECK: linalg.generic {{.*}} ins(%[[X]] :
// CHECK-LABEL: func.func @sums
func.func @sums(%x: memref<64x64xf32>) {
  %zero = arith.constant 0.0 : f32
  %one = arith.constant 1.0 : f32
  %a = memref.alloc() : memref<64xf32>
  %b = memref.alloc() : memref<64xf32>
  %c = memref.alloc() : memref<64xf32>
  // CHECK-NOT: linalg
  // CHECK: call @gru_shared(%arg0, %[[A:.+]]) :
  // CHECK: call @gru_shared(%arg0, %[[B:.+]]) :
  linalg.fill ins(%zero : f32) outs(%a : memref<64xf32>)
  linalg.fill ins(%zero : f32) outs(%b : memref<64xf32>)
  linalg.generic {indexing_maps = [#row, #sum], iterator_types = ["parallel", "reduction"]} ins(%x : memref<64x64xf32>) outs(%a : memref<64xf32>) {
  ^bb0(%in: f32, %out: f32):
    %0 = arith.mulf %in, %in : f32
    %1 = arith.addf %0, %out : f32
    %2 = arith.maximumf %1, %out : f32
    linalg.yield %2 : f32
  }
  linalg.generic {indexing_maps = [#row, #sum], iterator_types = ["parallel", "reduction"]} ins(%x : memref<64x64xf32>) outs(%b : memref<64xf32>) {
  ^bb0(%in: f32, %out: f32):
    %0 = arith.mulf %in, %in : f32
    %1 = arith.addf %0, %out : f32
    %2 = arith.maximumf %1, %out : f32
    linalg.yield %2 : f32
  }
  // CHECK: linalg.fill ins(%{{.*}} : f32) outs(%[[C:.+]] :
  // CHECK: linalg.generic {{.*}} outs(%[[C]] :
  linalg.fill ins(%one : f32) outs(%c : memref<64xf32>)
  linalg.generic {indexing_maps = [#row, #sum], iterator_types = ["parallel", "reduction"]} ins(%x : memref<64x64xf32>) outs(%c : memref<64xf32>) {
  ^bb0(%in: f32, %out: f32):
    %0 = arith.mulf %in, %in : f32
    %1 = arith.addf %0, %out : f32
    %2 = arith.maximumf %1, %out : f32
    linalg.yield %2 : f32
  }
  return
}

// -----

// A loop over a few instructions is no more code than a call, and an argument
// cannot say a stride that only a run knows. One buffer in two places is not
// the same as two.
// CHECK-NOT: gru_shared
// CHECK-LABEL: func.func @refused
#all = affine_map<(d0) -> (d0)>
func.func @refused(%x: memref<65536xf32>, %y: memref<65536xf32>, %s: memref<64x64xf32, strided<[?, 1]>>, %v: memref<4x64x1x16xf32>, %z: memref<64x64xf32>, %u: memref<64x64xf32>) {
  linalg.generic {indexing_maps = [#all, #all], iterator_types = ["parallel"]} ins(%x : memref<65536xf32>) outs(%y : memref<65536xf32>) {
  ^bb0(%in: f32, %out: f32):
    %0 = arith.addf %in, %in : f32
    linalg.yield %0 : f32
  }
  linalg.generic {indexing_maps = [#all, #all], iterator_types = ["parallel"]} ins(%y : memref<65536xf32>) outs(%x : memref<65536xf32>) {
  ^bb0(%in: f32, %out: f32):
    %0 = arith.addf %in, %in : f32
    linalg.yield %0 : f32
  }
  gru.packed_dense ins(%s, %v : memref<64x64xf32, strided<[?, 1]>>, memref<4x64x1x16xf32>) outs(%z : memref<64x64xf32>) {activation = #gru.act<linear>, rows = 4}
  gru.packed_dense ins(%s, %v : memref<64x64xf32, strided<[?, 1]>>, memref<4x64x1x16xf32>) outs(%u : memref<64x64xf32>) {activation = #gru.act<linear>, rows = 4}
  gru.packed_dense ins(%z, %v : memref<64x64xf32>, memref<4x64x1x16xf32>) outs(%z : memref<64x64xf32>) {activation = #gru.act<linear>, rows = 4}
  gru.packed_dense ins(%z, %v : memref<64x64xf32>, memref<4x64x1x16xf32>) outs(%u : memref<64x64xf32>) {activation = #gru.act<linear>, rows = 4}
  return
}
