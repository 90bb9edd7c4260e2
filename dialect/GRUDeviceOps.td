//===- GRUDeviceOps.td - what runs on a device ----------------*- tablegen -*-===//
//
// Apart from the other operations, which importers need and devices do not.
//
//===----------------------------------------------------------------------===//

#ifndef GRU_DEVICE_OPS_TD
#define GRU_DEVICE_OPS_TD

include "dialect/GRUOps.td"

def GRU_DeviceRnnOp : GRU_DestinationOp<"device_rnn", [AttrSizedOperandSegments]> {
  let summary = "GRU layers that a device runs in one call";
  let description = [{
    A layer, a pair of directions over one input (`bidirectional`), or a stack of
    either, whose formula is that of `gru.gru`. The layers of a stack read what
    the one before wrote; with two directions that is both sequences side by side.
    With D directions, cell l D + d is direction d of layer l:

    * `input` [B, T, F] (with `time_major` [T, B, F])
    * `weights`: per cell the kernel, the recurrent kernel and, where there are
      three per cell, the bias, in Keras's form
    * `initial_states`: none (zeros), or one [B, H] per cell
    * `mask` [B, T]: for `cudnn` right-padded, which whoever makes the operation
      has to see to

    Destinations, each kind all or none: `sequences` and `lasts`, one per
    direction of the last layer; `states`, one per cell. They are only written.
    The backward one of two directions is written where it is read. A single one
    with `go_backwards` is written in order of processing, as Keras does, unless
    `writes_where_read`.

    ```mlir
    %s = gru.device_rnn "cudnn" ins(%x : tensor<2x?x3xf32>)
        weights(%W, %U, %b : tensor<3x12xf32>, tensor<4x12xf32>, tensor<2x12xf32>)
        sequences(%e : tensor<2x?x4xf32>)
        {activation = #gru.act<tanh>, layers = 1 : i64, recurrent_activation = #gru.act<sigmoid>, reset_after}
        -> tensor<2x?x4xf32>
    ```

    The verifier rejects another number of weights than two or three per cell
    (gru_device_rnn_c1), of states or of destinations (c2), and shapes that do not
    fit each other (c3).
  }];
  let arguments = (ins StrAttr:$library, GRU_ShapedOf<[3]>:$input,
    Variadic<GRU_ShapedOf<[1, 2]>>:$weights, Variadic<GRU_ShapedOf<[2]>>:$initial_states,
    Optional<GRU_MaskShaped>:$mask, Variadic<GRU_ShapedOf<[3]>>:$sequences,
    Variadic<GRU_ShapedOf<[2]>>:$lasts, Variadic<GRU_ShapedOf<[2]>>:$states,
    I64Attr:$layers, UnitAttr:$bidirectional, UnitAttr:$go_backwards, UnitAttr:$writes_where_read,
    UnitAttr:$time_major, UnitAttr:$zero_output_for_mask, UnitAttr:$reset_after,
    GRU_ActAttr:$activation, GRU_ActAttr:$recurrent_activation, OptionalAttr<F64Attr>:$clip,
    UnitAttr:$required, OptionalAttr<StrAttr>:$code);
  let results = (outs Variadic<GRU_Tensor>:$results);
  let assemblyFormat = [{
    $library `ins` `(` $input `:` type($input) `)` `weights` `(` $weights `:` type($weights) `)`
    (`initial_states` `(` $initial_states^ `:` type($initial_states) `)`)?
    (`mask` `(` $mask^ `:` type($mask) `)`)?
    (`sequences` `(` $sequences^ `:` type($sequences) `)`)?
    (`lasts` `(` $lasts^ `:` type($lasts) `)`)?
    (`states` `(` $states^ `:` type($states) `)`)?
    attr-dict (`->` type($results)^)?
  }];
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    ::mlir::MutableOperandRange getDpsInitsMutable();
    int64_t getDirections() { return getBidirectional() ? 2 : 1; }
    int64_t getCells() { return int64_t(getLayers()) * getDirections(); }
    int64_t getTimeDim() { return getTimeMajor() ? 0 : 1; }
    ::mlir::ShapedType getInputType() { return ::llvm::cast<::mlir::ShapedType>(getInput().getType()); }
    int64_t getBatch() { return getInputType().getDimSize(getTimeMajor() ? 1 : 0); }
    int64_t getFeatures() { return getInputType().getDimSize(2); }
    int64_t getWeightsPerCell() { return getWeights().size() / getCells(); }
    bool hasBias() { return getWeightsPerCell() == 3; }
    int64_t getUnits() { return ::llvm::cast<::mlir::ShapedType>(getWeights()[1].getType()).getDimSize(0); }
  }];
}

def GRU_DeviceKernelOp : GRU_Op<"device_kernel", [AttrSizedOperandSegments,
    DeclareOpInterfaceMethods<MemoryEffectsOpInterface>]> {
  let summary = "one launch of a kernel of our own";
  let description = [{
    Runs `gru_kernel` of the module `code`, later PTX, with `items` items of work,
    on the mirrors of buffers that it reads and of those that it writes; every
    element of a buffer that is written is. The kernel's arguments are the
    addresses of the first elements of both and the values, in this order.

    ```mlir
    gru.device_kernel "gru_kernel_0" items(%n) reads(%x : memref<2x?x3xf32>)
        writes(%y : memref<2x?x3xf32>) values(%t)
    ```
  }];
  let arguments = (ins StrAttr:$code, Index:$items, Variadic<AnyMemRef>:$reads,
    Variadic<AnyMemRef>:$writes, Variadic<Index>:$values);
  let assemblyFormat = [{
    $code `items` `(` $items `)` (`reads` `(` $reads^ `:` type($reads) `)`)?
    (`writes` `(` $writes^ `:` type($writes) `)`)? (`values` `(` $values^ `)`)? attr-dict
  }];
}

def GRU_DeviceMoveOp : GRU_Op<"device_move", [
    DeclareOpInterfaceMethods<MemoryEffectsOpInterface>]> {
  let summary = "a copy between a buffer and its mirror on the device";
  let description = [{
    To the mirror, or with `to_host` back, after which the host may read it. The
    buffer is a whole one, no view.

    ```mlir
    gru.device_move %x : memref<2x?x3xf32>
    gru.device_move %y to_host : memref<2x?x3xf32>
    ```
  }];
  let arguments = (ins AnyMemRef:$buffer, UnitAttr:$to_host);
  let assemblyFormat = "$buffer (`to_host` $to_host^)? attr-dict `:` type($buffer)";
}

#endif // GRU_DEVICE_OPS_TD
