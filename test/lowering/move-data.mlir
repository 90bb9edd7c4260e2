// RUN: %gru-opt %s --gru-move-data | FileCheck %s

// From one device operation to the next nothing moves; a state comes and goes.

// CHECK-LABEL: func.func @chain
// CHECK: gru.device_move %arg0 : memref<2x4xf32>
// CHECK-NEXT: gru.device_move %arg1 : memref<2x4xf32>
// CHECK-NEXT: gru.device_kernel "a"
// CHECK-NEXT: gru.device_kernel "b"
// CHECK-NEXT: gru.device_move %arg1 to_host : memref<2x4xf32>
// CHECK-NEXT: gru.device_move %arg2 to_host : memref<2x4xf32>
// CHECK-NEXT: return
func.func @chain(%x: memref<2x4xf32> {gru.name = "x"}, %h: memref<2x4xf32> {gru.state = 0 : i64},
                 %y: memref<2x4xf32> {gru.name = "y", gru.output}) {
  %t = memref.alloc() : memref<2x4xf32>
  %n = arith.constant 8 : index
  gru.device_kernel "a" items(%n) reads(%x, %h : memref<2x4xf32>, memref<2x4xf32>) writes(%t, %h : memref<2x4xf32>, memref<2x4xf32>)
  gru.device_kernel "b" items(%n) reads(%t : memref<2x4xf32>) writes(%y : memref<2x4xf32>)
  return
}

// One branch leaves a buffer on the device, the other on the host: there it moves.
// CHECK-LABEL: func.func @branches
// CHECK: scf.if
// CHECK: gru.device_kernel "a"
// CHECK-NEXT: } else {
// CHECK: linalg.fill
// CHECK-NEXT: gru.device_move %[[T:.*]] : memref<2x4xf32>
// CHECK-NEXT: }
// CHECK-NEXT: gru.device_kernel "b" {{.*}} reads(%[[T]] : memref<2x4xf32>)
func.func @branches(%x: memref<2x4xf32> {gru.name = "x"}, %c: i1, %y: memref<2x4xf32> {gru.name = "y", gru.output}) {
  %t = memref.alloc() : memref<2x4xf32>
  %n = arith.constant 8 : index
  %zero = arith.constant 0.0 : f32
  scf.if %c {
    gru.device_kernel "a" items(%n) reads(%x : memref<2x4xf32>) writes(%t : memref<2x4xf32>)
  } else {
    linalg.fill ins(%zero : f32) outs(%t : memref<2x4xf32>)
  }
  gru.device_kernel "b" items(%n) reads(%t : memref<2x4xf32>) writes(%y : memref<2x4xf32>)
  return
}

// A kernel that writes a part needs the rest where it is.
// CHECK-LABEL: func.func @part
// CHECK: linalg.fill
// CHECK: gru.device_move %[[T:.*]] : memref<2x8xf32>
// CHECK: gru.device_kernel "a"
// CHECK: gru.device_move %[[T]] to_host : memref<2x8xf32>
// CHECK: memref.load %[[T]]
func.func @part(%x: memref<2x4xf32> {gru.name = "x"}, %y: memref<2xf32> {gru.name = "y", gru.output}) {
  %t = memref.alloc() : memref<2x8xf32>
  %n = arith.constant 8 : index
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  linalg.fill ins(%zero : f32) outs(%t : memref<2x8xf32>)
  %view = memref.subview %t[0, 0] [2, 4] [1, 1] : memref<2x8xf32> to memref<2x4xf32, strided<[8, 1]>>
  gru.device_kernel "a" items(%n) reads(%x : memref<2x4xf32>) writes(%view : memref<2x4xf32, strided<[8, 1]>>)
  %v = memref.load %t[%c0, %c0] : memref<2x8xf32>
  memref.store %v, %y[%c0] : memref<2xf32>
  return
}
