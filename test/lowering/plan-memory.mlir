// RUN: %gru-opt %s --gru-plan-memory --canonicalize --cse | FileCheck %s

// %a and %b are not alive together and share bytes; %c is alive with both.
// CHECK-LABEL: func.func @shared
// CHECK-SAME: %[[S:[a-z0-9]+]]: memref<?xi8> {gru.scratch}
// CHECK-SAME: gru.scratch_regions = [array<i64: 576>]
func.func @shared(%x: memref<100xf32> {gru.name = "x"}) {
  %f = arith.constant 0.0 : f32
  %a = memref.alloc() : memref<100xf32>
  %b = memref.alloc() : memref<100xf32>
  %c = memref.alloc() : memref<20xf32>
  // 100 floats are 448 bytes after rounding up to 64.
  // CHECK-DAG: %[[BEHIND:.+]] = arith.constant 448 : index
  // CHECK-DAG: %[[AB:.+]] = memref.view %[[S]][%c0][] : memref<?xi8> to memref<100xf32>
  // CHECK-DAG: %[[C:.+]] = memref.view %[[S]][%[[BEHIND]]][] : memref<?xi8> to memref<20xf32>
  // CHECK-NOT: memref.alloc
  // CHECK: linalg.fill {{.*}} outs(%[[C]]
  // CHECK-NEXT: memref.copy %{{.*}}, %[[AB]]
  // CHECK-NEXT: memref.copy %[[AB]], %{{.*}}
  // CHECK-NEXT: memref.copy %{{.*}}, %[[AB]]
  linalg.fill ins(%f : f32) outs(%c : memref<20xf32>)
  memref.copy %x, %a : memref<100xf32> to memref<100xf32>
  memref.copy %a, %x : memref<100xf32> to memref<100xf32>
  memref.copy %x, %b : memref<100xf32> to memref<100xf32>
  memref.copy %b, %x : memref<100xf32> to memref<100xf32>
  linalg.fill ins(%f : f32) outs(%c : memref<20xf32>)
  return
}

// A use through a view keeps a buffer alive. The allocation opens the function.
// CHECK-LABEL: func.func @alive_through_view
// CHECK-SAME: gru.scratch_regions = [array<i64: 896>]
func.func @alive_through_view(%x: memref<100xf32> {gru.name = "x"}, %y: memref<50xf32>) {
  %a = memref.alloc() : memref<100xf32>
  %v = memref.subview %a[0] [50] [1] : memref<100xf32> to memref<50xf32, strided<[1]>>
  memref.copy %x, %a : memref<100xf32> to memref<100xf32>
  %b = memref.alloc() : memref<100xf32>
  memref.copy %x, %b : memref<100xf32> to memref<100xf32>
  memref.copy %v, %y : memref<50xf32, strided<[1]>> to memref<50xf32>
  memref.copy %b, %x : memref<100xf32> to memref<100xf32>
  return
}

// Buffers of the same product of symbols form a region: bytes per unit, symbols.
// CHECK-LABEL: func.func @regions
// CHECK-SAME: gru.scratch_regions = [array<i64: 64>, array<i64: 128, 0>, array<i64: 64, 1>, array<i64: 64, 0, 1>]
func.func @regions(%x: memref<2x?x8xf32> {gru.dims = array<i64: 2, -1, 8>, gru.name = "x"}, %y: memref<2x?x8xf32> {gru.dims = array<i64: 2, -2, 8>, gru.name = "y"})
    attributes {gru.symbols = [array<i64: 0, 1>, array<i64: 1, 1>]} {
  %c1 = arith.constant 1 : index
  %t = memref.dim %x, %c1 : memref<2x?x8xf32>
  %u = memref.dim %y, %c1 : memref<2x?x8xf32>
  %f = arith.constant 0.0 : f32
  %a = memref.alloc() : memref<4xf32>
  %b = memref.alloc(%t) : memref<2x?x8xf32>
  %c = memref.alloc(%t) : memref<?x16xf32>
  %d = memref.alloc(%u) : memref<?xf32>
  %e = memref.alloc(%u, %t) : memref<?x?xf32>
  linalg.fill ins(%f : f32) outs(%a : memref<4xf32>)
  linalg.fill ins(%f : f32) outs(%b : memref<2x?x8xf32>)
  linalg.fill ins(%f : f32) outs(%c : memref<?x16xf32>)
  linalg.fill ins(%f : f32) outs(%b : memref<2x?x8xf32>)
  linalg.fill ins(%f : f32) outs(%d : memref<?xf32>)
  linalg.fill ins(%f : f32) outs(%e : memref<?x?xf32>)
  return
}

// CHECK-LABEL: func.func @nothing
// CHECK-SAME: gru.scratch_regions = []
func.func @nothing(%x: memref<4xf32>) {
  return
}

// Bufferisation asks views for their sizes.
// CHECK-LABEL: func.func @sizes_of_views
// CHECK-SAME: gru.scratch_regions = [array<i64: 640, 0>]
func.func @sizes_of_views(%x: memref<?x2x8xf32> {gru.dims = array<i64: -1, 2, 8>, gru.name = "x"})
    attributes {gru.symbols = [array<i64: 0, 0>]} {
  %c0 = arith.constant 0 : index
  %f = arith.constant 0.0 : f32
  %t = memref.dim %x, %c0 : memref<?x2x8xf32>
  %a = memref.alloc(%t) : memref<?x2x8xf32>
  %e = memref.expand_shape %a [[0], [1, 2], [3]] output_shape [%t, 1, 2, 8] : memref<?x2x8xf32> into memref<?x1x2x8xf32>
  %u = memref.dim %e, %c0 : memref<?x1x2x8xf32>
  %b = memref.alloc(%u) : memref<?x16xf32>
  %c = memref.collapse_shape %a [[0, 1, 2]] : memref<?x2x8xf32> into memref<?xf32>
  %v = memref.dim %c, %c0 : memref<?xf32>
  %d = memref.alloc(%v) : memref<?x8xf32>
  linalg.fill ins(%f : f32) outs(%a : memref<?x2x8xf32>)
  linalg.fill ins(%f : f32) outs(%b : memref<?x16xf32>)
  linalg.fill ins(%f : f32) outs(%d : memref<?x8xf32>)
  linalg.fill ins(%f : f32) outs(%b : memref<?x16xf32>)
  memref.copy %a, %x : memref<?x2x8xf32> to memref<?x2x8xf32>
  return
}

// What a private function needs is its callers' business.
// CHECK-LABEL: func.func private @shared_kernel
// CHECK-SAME: (%[[X:[a-z0-9]+]]: memref<20xf32>, %[[A:[a-z0-9]+]]: memref<20xf32>)
func.func private @shared_kernel(%x: memref<20xf32>) {
  // CHECK-NEXT: memref.copy %[[X]], %[[A]]
  %a = memref.alloc() : memref<20xf32>
  memref.copy %x, %a : memref<20xf32> to memref<20xf32>
  memref.copy %a, %x : memref<20xf32> to memref<20xf32>
  return
}

// Both calls have the same 128 bytes.
// CHECK-LABEL: func.func @callers
// CHECK-SAME: %[[S:[a-z0-9]+]]: memref<?xi8> {gru.scratch}
// CHECK-SAME: gru.scratch_regions = [array<i64: 128>]
func.func @callers(%x: memref<20xf32> {gru.name = "x"}) {
  // CHECK: %[[A:.+]] = memref.view %[[S]][%c0][]
  // CHECK: call @shared_kernel(%{{.*}}, %[[A]])
  // CHECK: call @shared_kernel(%{{.*}}, %[[A]])
  call @shared_kernel(%x) : (memref<20xf32>) -> ()
  call @shared_kernel(%x) : (memref<20xf32>) -> ()
  return
}
