//===- GRUOps.td - operations of the gru dialect --------------*- tablegen -*-===//
//
// Numbered tags such as gru_gru_c3 tie a rule here to its check in GRUOps.cpp
// and to its test in test/dialect/invalid.mlir.
//
//===----------------------------------------------------------------------===//

#ifndef GRU_OPS_TD
#define GRU_OPS_TD

include "dialect/GRUAttrs.td"
include "dialect/GRUInterfaces.td"
include "mlir/Interfaces/DestinationStyleOpInterface.td"
include "mlir/Interfaces/InferTypeOpInterface.td"
include "mlir/Interfaces/SideEffectInterfaces.td"

class GRU_Op<string mnemonic, list<Trait> traits = []> : Op<GRU_Dialect, mnemonic, traits>;

def GRU_Float : AnyTypeOf<[F32, F64, F16, BF16], "f32, f64, f16 or bf16">;
/// Kernels may be stored in fewer bytes than they are used with.
def GRU_Stored : AnyTypeOf<[F32, F64, F16, BF16, I8], "f32, f64, f16, bf16 or i8">;
class GRU_StoredOf<list<int> ranks>
    : AnyTypeOf<[TensorRankOf<[GRU_Stored], ranks>, MemRefRankOf<[GRU_Stored], ranks>]>;
class GRU_TensorOf<list<int> ranks> : TensorRankOf<[GRU_Float], ranks>;
def GRU_Tensor : RankedTensorOf<[GRU_Float]>;
def GRU_MaskTensor : TensorRankOf<[I1], [2]>;
class GRU_ShapedOf<list<int> ranks>
    : AnyTypeOf<[TensorRankOf<[GRU_Float], ranks>, MemRefRankOf<[GRU_Float], ranks>]>;
def GRU_Shaped : AnyTypeOf<[RankedTensorOf<[GRU_Float]>, MemRefOf<[GRU_Float]>]>;
def GRU_ShapedBytesOr : AnyTypeOf<[RankedTensorOf<[GRU_Stored]>, MemRefOf<[GRU_Stored]>]>;
class GRU_BytesOf<list<int> ranks> : AnyTypeOf<[TensorRankOf<[I8], ranks>, MemRefRankOf<[I8], ranks>]>;
class GRU_ListsOf<list<int> ranks> : AnyTypeOf<[TensorRankOf<[I32], ranks>, MemRefRankOf<[I32], ranks>]>;
def GRU_MaskShaped : AnyTypeOf<[TensorRankOf<[I1], [2]>, MemRefRankOf<[I1], [2]>]>;

//===----------------------------------------------------------------------===//
// Layer level
//===----------------------------------------------------------------------===//

def GRU_GRUOp : GRU_Op<"gru", [Pure, AttrSizedOperandSegments,
    DeclareOpInterfaceMethods<ReifyRankedShapedTypeOpInterface, ["reifyResultShapes"]>,
    DeclareOpInterfaceMethods<InferTypeOpInterface>,
    DeclareOpInterfaceMethods<GRU_RecurrentOpInterface>]> {
  let summary = "a whole GRU layer";
  let description = [{
    Runs a gated recurrent unit over a sequence. With x the input at one
    timestep, h the state before it, the kernels split by columns into
    W = [Wz | Wr | Wh] and U = [Uz | Ur | Uh], s = `recurrent_activation` and
    g = `activation`:

        z  = s(x Wz + bz + h Uz + cz)
        r  = s(x Wr + br + h Ur + cr)
        hh = g(x Wh + bh + r * (h Uh + ch))       with reset_after
        hh = g(x Wh + bh + (r * h) Uh)            without
        h' = z * h + (1 - z) * hh

    Operands (see the dialect's page for the letters):

    * `input`: [B, T, F]; with `time_major` [T, B, F]
    * `kernel`: [F, 3H]; `recurrent_kernel`: [H, 3H]
    * `bias`: [2, 3H] with `reset_after` (row 0: b, row 1: c), else [3H]
    * `initial_state`: [B, H]; zeros where absent
    * `mask`: [B, T] (with `time_major` [T, B]), false where a step is skipped:
      the state keeps its value and the output repeats the previous output,
      which before the first unmasked step is zeros, not the initial state.
      With `zero_output_for_mask` the output is zeros there.
    * `lengths`: [B], the valid timesteps of each row, outputs after them are
      zeros; not together with `mask`
    * `reset`: [B, T]: where true, the state becomes zeros before that step
    * `dropout_mask`: [G, B, F], multiplies the input; G = 1 for
      `implementation` 2, G = 3 (z, r, h) for 1
    * `recurrent_dropout_mask`: [3, B, H], multiplies the state in front of the
      three recurrent products (not in z * h)

    Results: `sequence` [B, T, H] (with `time_major` [T, B, H]), `last`
    [B, H] the last output, `state` [B, H] the last state. They differ where
    steps are masked. A result without a use is not computed.

    With `go_backwards` the input (and mask) is read from its end, and
    `sequence` stands in the order of processing, as in Keras. Keras's unrolled
    loop has a quirk that is kept: with `unroll`, `go_backwards` and
    `zero_output_for_mask` together, outputs are zeroed by the mask in its
    original order.

    `unroll`, `implementation`, `dropout`, `recurrent_dropout` and `from_cell`
    (the layer was an RNN around a GRUCell) do not change the formula; backends
    and `--explain` ask for them. `clip` bounds the pre-activations to
    [-clip, clip] (ONNX).

    Example:

    ```mlir
    %seq, %last, %state = gru.gru %x kernel(%W, %U) bias(%b : tensor<2x192xf32>)
        {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, reset_after}
        : tensor<?x?x42xf32>, tensor<42x192xf32>, tensor<64x192xf32>
        -> tensor<?x?x64xf32>, tensor<?x64xf32>, tensor<?x64xf32>
    ```

    The verifier rejects: a kernel whose rows are not the features
    (gru_gru_c1), whose columns are not 3H (c2), a recurrent kernel that is not
    [H, 3H] (c3), a bias of another shape than reset_after asks for (c4), an
    initial state, mask, lengths, reset or dropout mask of a wrong shape (c5),
    mask together with lengths (c6), an implementation other than 1 or 2 (c7),
    a rate outside [0, 1] (c8), a clip that is not positive (c9).
  }];
  let arguments = (ins
    GRU_TensorOf<[3]>:$input, GRU_TensorOf<[2]>:$kernel, GRU_TensorOf<[2]>:$recurrent_kernel,
    Optional<GRU_TensorOf<[1, 2]>>:$bias, Optional<GRU_TensorOf<[2]>>:$initial_state,
    Optional<GRU_MaskTensor>:$mask, Optional<TensorRankOf<[I32], [1]>>:$lengths,
    Optional<GRU_MaskTensor>:$reset, Optional<GRU_TensorOf<[3]>>:$dropout_mask,
    Optional<GRU_TensorOf<[3]>>:$recurrent_dropout_mask,
    GRU_ActAttr:$activation, GRU_ActAttr:$recurrent_activation,
    UnitAttr:$reset_after, UnitAttr:$go_backwards, UnitAttr:$time_major,
    UnitAttr:$zero_output_for_mask, UnitAttr:$unroll, UnitAttr:$from_cell,
    DefaultValuedAttr<I64Attr, "2">:$implementation,
    DefaultValuedAttr<F64Attr, "0.0">:$dropout,
    DefaultValuedAttr<F64Attr, "0.0">:$recurrent_dropout,
    OptionalAttr<F64Attr>:$clip);
  let results = (outs GRU_TensorOf<[3]>:$sequence, GRU_TensorOf<[2]>:$last, GRU_TensorOf<[2]>:$state);
  let assemblyFormat = [{
    $input `kernel` `(` $kernel `,` $recurrent_kernel `)`
    oilist(`bias` `(` $bias `:` type($bias) `)`
      | `initial_state` `(` $initial_state `:` type($initial_state) `)`
      | `mask` `(` $mask `:` type($mask) `)`
      | `lengths` `(` $lengths `:` type($lengths) `)`
      | `reset` `(` $reset `:` type($reset) `)`
      | `dropout_mask` `(` $dropout_mask `:` type($dropout_mask) `)`
      | `recurrent_dropout_mask` `(` $recurrent_dropout_mask `:` type($recurrent_dropout_mask) `)`)
    attr-dict `:` type($input) `,` type($kernel) `,` type($recurrent_kernel)
    `->` type($sequence) `,` type($last) `,` type($state)
  }];
  let hasVerifier = 1;
  let hasCanonicalizer = 1;
  let extraClassDeclaration = [{
    /// Position of the time dimension in input, sequence and mask.
    int64_t getTimeDim() { return getTimeMajor() ? 0 : 1; }
    int64_t getBatchDim() { return getTimeMajor() ? 1 : 0; }
  }];
}

def GRU_CellOp : GRU_Op<"cell", [Pure, AttrSizedOperandSegments,
    DeclareOpInterfaceMethods<InferTypeOpInterface>,
    DeclareOpInterfaceMethods<GRU_RecurrentOpInterface>]> {
  let summary = "one step of a GRU";
  let description = [{
    One timestep of the formula of `gru.gru`: input [B, F] and state [B, H] give
    the new state [B, H]. Canonicalisation keeps it; `gru-legalize` turns it
    into a `gru.gru` of one timestep.

    ```mlir
    %h1 = gru.cell %x, %h0 kernel(%W, %U) bias(%b : tensor<2x12xf32>)
        {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, reset_after}
        : tensor<?x3xf32>, tensor<?x4xf32>, tensor<3x12xf32>, tensor<4x12xf32> -> tensor<?x4xf32>
    ```

    `dropout_mask` [G, B, F], `recurrent_dropout_mask` [3, B, H] and
    `implementation` are those of `gru.gru`.

    The verifier applies the rules of `gru.gru` (gru_gru_c1 to c5, c7, c9).
  }];
  let arguments = (ins
    GRU_TensorOf<[2]>:$input, GRU_TensorOf<[2]>:$state_in, GRU_TensorOf<[2]>:$kernel,
    GRU_TensorOf<[2]>:$recurrent_kernel, Optional<GRU_TensorOf<[1, 2]>>:$bias,
    Optional<GRU_TensorOf<[3]>>:$dropout_mask, Optional<GRU_TensorOf<[3]>>:$recurrent_dropout_mask,
    GRU_ActAttr:$activation, GRU_ActAttr:$recurrent_activation, UnitAttr:$reset_after,
    DefaultValuedAttr<I64Attr, "2">:$implementation, OptionalAttr<F64Attr>:$clip);
  let results = (outs GRU_TensorOf<[2]>:$state);
  let assemblyFormat = [{
    $input `,` $state_in `kernel` `(` $kernel `,` $recurrent_kernel `)`
    oilist(`bias` `(` $bias `:` type($bias) `)`
      | `dropout_mask` `(` $dropout_mask `:` type($dropout_mask) `)`
      | `recurrent_dropout_mask` `(` $recurrent_dropout_mask `:` type($recurrent_dropout_mask) `)`)
    attr-dict `:` type($input) `,` type($state_in) `,` type($kernel) `,` type($recurrent_kernel) `->` type($state)
  }];
  let hasVerifier = 1;
}

def GRU_DenseOp : GRU_Op<"dense", [Pure, DeclareOpInterfaceMethods<InferTypeOpInterface>,
    DeclareOpInterfaceMethods<ReifyRankedShapedTypeOpInterface, ["reifyResultShapes"]>]> {
  let summary = "a product with a weight, a bias and an activation";
  let description = [{
    y = activation(x W + b) over all leading dimensions of x: input [..., K],
    kernel [K, N], bias [N], result [..., N]. Keras's Dense, a matrix product
    with a weight, and a 1x1 convolution are all this operation.

    ```mlir
    %y = gru.dense %x, %W bias(%b : tensor<24xf32>) {activation = #gru.act<tanh>}
        : tensor<?x?x42xf32>, tensor<42x24xf32> -> tensor<?x?x24xf32>
    ```

    The verifier rejects a kernel whose rows are not the last dimension of the
    input (gru_dense_c1) and a bias that is not [N] (gru_dense_c2).
  }];
  let arguments = (ins GRU_Tensor:$input, GRU_TensorOf<[2]>:$kernel, Optional<GRU_TensorOf<[1]>>:$bias,
                       GRU_ActAttr:$activation);
  let results = (outs GRU_Tensor:$result);
  let assemblyFormat = [{
    $input `,` $kernel (`bias` `(` $bias^ `:` type($bias) `)`)? attr-dict
    `:` type($input) `,` type($kernel) `->` type($result)
  }];
  let hasVerifier = 1;
}

def GRU_ActivationOp : GRU_Op<"activation", [Pure, SameOperandsAndResultType]> {
  let summary = "an activation function";
  let description = [{
    Applies `#gru.act` to a scalar, to each element of a vector or tensor, or,
    for the kinds that act on rows, along the last axis of a tensor.

    ```mlir
    %y = gru.activation %x {kind = #gru.act<softplus>} : tensor<?x8xf32>
    %v = gru.activation %u {kind = #gru.act<tanh>} : vector<16xf32>
    ```

    It does not carry the upstream trait for elementwise operations, which would
    be a lie for the row-wise kinds.

    The verifier rejects a row-wise kind on anything but a tensor of rank 1 or
    more (gru_activation_c1).
  }];
  let arguments = (ins FloatLike:$input, GRU_ActAttr:$kind);
  let results = (outs FloatLike:$result);
  let assemblyFormat = "$input attr-dict `:` type($result)";
  let hasVerifier = 1;
  let hasFolder = 1;
}

def GRU_ReverseOp : GRU_Op<"reverse", [Pure, SameOperandsAndResultType]> {
  let summary = "reverses a tensor along one dimension";
  let description = [{
    result[..., i, ...] = input[..., n-1-i, ...] in dimension `dim`. Two
    reversals of the same dimension fold away; one behind a `go_backwards`
    layer folds into the order of its loop when the layer is lowered.

    ```mlir
    %y = gru.reverse %x {dim = 1} : tensor<?x?x8xf32>
    ```

    The verifier rejects a dimension outside the rank (gru_reverse_c1).
  }];
  let arguments = (ins AnyRankedTensor:$input, I64Attr:$dim);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$input attr-dict `:` type($result)";
  let hasVerifier = 1;
  let hasFolder = 1;
}

//===----------------------------------------------------------------------===//
// Sequence level
//===----------------------------------------------------------------------===//

def GRU_PackOp : GRU_Op<"pack", [Pure, DeclareOpInterfaceMethods<InferTypeOpInterface>]> {
  let summary = "brings a weight into the order in which a kernel reads it";
  let description = [{
    The columns of a weight are G gates of H units: column g H + u. The packed
    form has NB = ceil(H / W) blocks of W units, padded with zeros, so that the
    G gates of the same units stand together:

        matrix [K, G H] -> [NB, K, G, W]    result[n, k, g, i] = source[k, g H + n W + i]
        vector [G H]    -> [NB, G, W]       result[n, g, i]    = source[g H + n W + i]

    `part` says what is taken:

    | part | source | result |
    | --- | --- | --- |
    | `all` | [K, G H] or [G H] | all gates |
    | `gates` | [K, 3H] | z and r only: G = 2 |
    | `candidate` | [K, 3H] | h only: G = 1 |
    | `input_bias` | [2, 3H] | row 0, plus row 1 for z and r: [NB, 3, W] |
    | `recurrent_bias` | [2, 3H] | row 1 of h only: [NB, 1, W] |

    z and r may add both biases beforehand because only their sum occurs in the
    formula; the candidate's recurrent bias stays apart since r multiplies it.

    ```mlir
    %Up = gru.pack %U {part = #gru.part<all>, gates = 3, width = 16}
        : tensor<64x192xf32> -> tensor<4x64x3x16xf32>
    ```

    A result of bf16 for a source of f32 is rounded to nearest even
    (`gru-narrow-weights`).

    The verifier rejects columns that are no multiple of `gates` (gru_pack_c1),
    a part that asks for another source shape (gru_pack_c2) and a width below 1
    (gru_pack_c3).
  }];
  let arguments = (ins GRU_TensorOf<[1, 2]>:$source, GRU_PackPartAttr:$part, I64Attr:$gates, I64Attr:$width);
  let results = (outs GRU_TensorOf<[3, 4]>:$result);
  let assemblyFormat = "$source attr-dict `:` type($source) `->` type($result)";
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    /// The result may be narrower than the source.
    static bool isCompatibleReturnTypes(::mlir::TypeRange inferred, ::mlir::TypeRange actual);
  }];
}

def GRU_QuantizedPackOp : GRU_Op<"quantized_pack", [Pure]> {
  let summary = "brings a kernel into a kernel's order as bytes and a scale per column";
  let description = [{
    As `gru.pack` with the same `part` (`all`, `gates` or `candidate`) of a matrix
    [K, G H] of f32, in signed bytes, of which four neighbours of a column stand
    together, as `gru.dot_bytes` takes them. With m the largest magnitude in a column,

        scale[n, g, i]                  = m / 127
        result[n, 1 + k/4, g, 4i + k%4] = source[k, g H + n W + i] / scale[n, g, i], to nearest

    where k/4 is rounded down. A column of zeros has the scale 0. The products' left
    side is stored 128 too large (`gru.quantize_rows`), so a sum begins with what
    takes that away: -128 times the sum of the column's bytes, as an i32 in
    result[n, 0, g, 4i] to result[n, 0, g, 4i + 3].

    ```mlir
    %Up, %s = gru.quantized_pack %U {part = #gru.part<all>, gates = 3, width = 16}
        : tensor<64x192xf32> -> tensor<4x17x3x64xi8>, tensor<4x3x16xf32>
    ```

    The verifier rejects what that of `gru.pack` does, parts of biases, and more than
    65536 rows, whose sums might not fit an i32 (gru_quantized_pack_c1).
  }];
  let arguments = (ins GRU_TensorOf<[2]>:$source, GRU_PackPartAttr:$part, I64Attr:$gates, I64Attr:$width);
  let results = (outs TensorRankOf<[I8], [4]>:$result, GRU_TensorOf<[3]>:$scale);
  let assemblyFormat = "$source attr-dict `:` type($source) `->` type($result) `,` type($scale)";
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    /// Rows of the result for so many of the source.
    static int64_t getPackedRows(int64_t rows) { return 1 + (rows + 3) / 4; }
  }];
}

def GRU_NonzeroRowsOp : GRU_Op<"nonzero_rows", [Pure, DeclareOpInterfaceMethods<InferTypeOpInterface>]> {
  let summary = "lists the rows of a packed kernel that are not zero";
  let description = [{
    For each block n and gate g of a kernel that `gru.pack` has made, the rows k in
    which some kernel[n, k, g, i] is not zero, in ascending order:

        result[n, g, 0]                 = their number
        result[n, g, 1 + j], j < number = row j of these

    What is behind them nobody may ask. A product with the kernel may leave all
    other rows out.

    ```mlir
    %rows = gru.nonzero_rows %Up : tensor<4x64x3x16xf32> -> tensor<4x3x65xi32>
    ```

    The verifier rejects another shape of the result.
  }];
  let arguments = (ins GRU_TensorOf<[4]>:$kernel);
  let results = (outs TensorRankOf<[I32], [3]>:$result);
  let assemblyFormat = "$kernel attr-dict `:` type($kernel) `->` type($result)";
}

class GRU_DestinationOp<string mnemonic, list<Trait> traits = []>
    : GRU_Op<mnemonic, !listconcat([DestinationStyleOpInterface,
        DeclareOpInterfaceMethods<MemoryEffectsOpInterface>], traits)>;

def GRU_PackedDenseOp : GRU_DestinationOp<"packed_dense", [AttrSizedOperandSegments]> {
  let summary = "a product with a packed weight";
  let description = [{
    out = activation(x W + b) with W and b packed by `gru.pack`. Two forms,
    told apart by the destination:

    * x [..., K], W [NB, K, 1, V], out [..., N]: a dense layer, N <= NB V
    * x [B, T, K] (with `time_major` [T, B, K]), W [NB, K, G, V], out
      [T, B, NB, G, V]: the input projection of a recurrent layer, time first
      and in the block order of the weights, so that a step reads it in one
      sweep. The destination's blocks may be several of the weight's wide.

    `rows`, when present, is the number of rows that are computed together.

    An input projection may be of bytes: W and its `kernel_scale` [NB, G, V] from
    `gru.quantized_pack`, x and its `row_scale` [B, T] from `gru.quantize_rows`. Then
    out = row_scale * kernel_scale * (x W) + b.

    ```mlir
    %p = gru.packed_dense ins(%x, %Wp : tensor<1x?x42xf32>, tensor<4x42x3x16xf32>)
        bias(%bp : tensor<4x3x16xf32>) outs(%e : tensor<?x1x4x3x16xf32>)
        {activation = #gru.act<linear>} -> tensor<?x1x4x3x16xf32>
    ```

    The verifier rejects disagreeing K (gru_packed_dense_c1), a bias that does
    not match the weight (c2), a destination that matches neither form (c3), and
    bytes without both scales, with an activation or of another form than a
    projection (c4).
  }];
  let arguments = (ins GRU_ShapedBytesOr:$input, GRU_StoredOf<[4]>:$kernel, Optional<GRU_ShapedOf<[3]>>:$bias,
                       Optional<GRU_ShapedOf<[2]>>:$row_scale, Optional<GRU_ShapedOf<[3]>>:$kernel_scale,
                       GRU_Shaped:$init, GRU_ActAttr:$activation, UnitAttr:$time_major,
                       OptionalAttr<I64Attr>:$rows);
  let results = (outs Optional<GRU_Tensor>:$result);
  let assemblyFormat = [{
    `ins` `(` $input `,` $kernel `:` type($input) `,` type($kernel) `)`
    (`bias` `(` $bias^ `:` type($bias) `)`)?
    (`scales` `(` $row_scale^ `,` $kernel_scale `:` type($row_scale) `,` type($kernel_scale) `)`)?
    `outs` `(` $init `:` type($init) `)`
    attr-dict (`->` type($result)^)?
  }];
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    ::mlir::MutableOperandRange getDpsInitsMutable() { return getInitMutable(); }
    /// True for the second form: the input projection of a recurrent layer.
    bool isProjection() { return ::llvm::cast<::mlir::ShapedType>(getInit().getType()).getRank() == 5; }
    bool isQuantized() { return getKernelScale() != nullptr; }
    ::mlir::ShapedType getKernelType() { return ::llvm::cast<::mlir::ShapedType>(getKernel().getType()); }
    ::mlir::ShapedType getInputType() { return ::llvm::cast<::mlir::ShapedType>(getInput().getType()); }
    ::mlir::ShapedType getInitType() { return ::llvm::cast<::mlir::ShapedType>(getInit().getType()); }
  }];
}

def GRU_QuantizeRowsOp : GRU_DestinationOp<"quantize_rows"> {
  let summary = "rows as bytes, with a scale for each row";
  let description = [{
    For each row of x [..., K], with m its largest magnitude:

        scale[...]    = m / 127
        bytes[..., k] = 128 + x[..., k] / scale[...], to nearest even, from 1 to 255

    Unsigned, as `gru.dot_bytes` wants its left side. Where m is below 1e-30 every
    byte is 128. `bytes` [..., P] may have more columns than x, up to a multiple of
    16; what is in them nobody may ask. A row that holds something that is not a number
    has such a scale, so that every product with the row is not a number either.

    ```mlir
    %q, %s = gru.quantize_rows ins(%x : tensor<1x?x42xf32>) outs(%e, %f : tensor<1x?x48xi8>, tensor<1x?xf32>)
        -> tensor<1x?x48xi8>, tensor<1x?xf32>
    ```

    The verifier rejects bytes that are not K rounded up to a multiple of 16, and
    leading dimensions that differ (gru_quantize_rows_c1).
  }];
  let arguments = (ins GRU_ShapedOf<[2, 3]>:$input, GRU_BytesOf<[2, 3]>:$bytes, GRU_ShapedOf<[1, 2]>:$scale);
  let results = (outs Variadic<AnyRankedTensor>:$results);
  let assemblyFormat = [{
    `ins` `(` $input `:` type($input) `)` `outs` `(` $bytes `,` $scale `:` type($bytes) `,` type($scale) `)`
    attr-dict (`->` type($results)^)?
  }];
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    ::mlir::MutableOperandRange getDpsInitsMutable() { return ::mlir::MutableOperandRange(getOperation(), 1, 2); }
    /// P for rows of `columns` columns.
    static int64_t getPaddedColumns(int64_t columns) { return (columns + 15) / 16 * 16; }
  }];
}

def GRU_RecurOp : GRU_DestinationOp<"recur", [AttrSizedOperandSegments]> {
  let summary = "the recurrence of a GRU over projected inputs";
  let description = [{
    Runs the recurrent part of `gru.gru` over a sequence whose input projection
    (with all biases but the candidate's recurrent one) has been computed:

    * `projection` [T, B, NB, 3, W]; or, where `gru-fuse-projection` has moved
      the product into the steps, its operands instead: `input` [B, T, F] (with
      `time_major` [T, B, F]), `input_kernel` [NB, F, 3, W] and `input_bias`
      [NB, 3, W]
    * `kernels`: with `reset_after` one, [NB, H, 3, W]; without two,
      [NB, H, 2, W] (z and r) and [NB, H, 1, W] (candidate), because the second
      product waits for r * h
    * `kernel_scales` [NB, G, W]: one for each kernel of i8, both as
      `gru.quantized_pack` makes them. The products then read the state as bytes too,
      as `gru.quantize_rows` makes them in each step, and without `reset_after` so
      does the second product r * h
    * `kernel_rows` [NB, G, 1 + H]: none, or one for each kernel, of which the
      products then read only the rows that it lists (`gru.nonzero_rows`)
    * `recurrent_bias` [NB, 1, W]: only with `reset_after`
    * `mask`, `reset`, `recurrent_dropout_mask` [3, B, H]: as in `gru.gru`

    Destinations: `state` [B, H] is the initial state on entry and the last
    state afterwards; `sequence` and `last` are optional, are only written, and
    have the meaning they have in `gru.gru`. `order` says how time runs.

    Masked steps are a select over the states: with s_t the state after step t,
    output_t = e_t ? s_t : 0, where e_t is the mask for `zero_output_for_mask`
    and otherwise "some step up to t was unmasked". `zero_by_position` takes the
    mask at the position written instead of the time read. `zero_initial_state`
    says that the initial state is zeros, so that no select is needed.

    ```mlir
    %h, %seq = gru.recur ins(%p : tensor<?x1x4x3x16xf32>) kernels(%U : tensor<4x64x3x16xf32>)
        recurrent_bias(%c : tensor<4x1x16xf32>) state(%h0 : tensor<1x64xf32>)
        sequence(%e : tensor<1x?x64xf32>)
        {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>,
         order = #gru.order<forward>, reset_after}
        -> tensor<1x64xf32>, tensor<1x?x64xf32>
    ```

    The verifier rejects a projection, kernel, bias, state, mask or destination
    that does not fit the others (gru_recur_c1), another number of kernels
    than reset_after asks for (gru_recur_c2), both or neither of a projection
    and an input with its kernel (gru_recur_c3), kernels of i8 with recurrent
    dropout or of another type than f32 (gru_recur_c4), and kernel_rows of kernels
    of i8 or for some kernels only (gru_recur_c5).
  }];
  let arguments = (ins Optional<GRU_ShapedOf<[5]>>:$projection,
    Optional<GRU_ShapedOf<[3]>>:$input, Optional<GRU_ShapedOf<[4]>>:$input_kernel, Optional<GRU_ShapedOf<[3]>>:$input_bias,
    Variadic<GRU_StoredOf<[4]>>:$kernels, Variadic<GRU_ShapedOf<[3]>>:$kernel_scales,
    Variadic<GRU_ListsOf<[3]>>:$kernel_rows,
    Optional<GRU_ShapedOf<[3]>>:$recurrent_bias, Optional<GRU_MaskShaped>:$mask, Optional<GRU_MaskShaped>:$reset,
    Optional<GRU_ShapedOf<[3]>>:$recurrent_dropout_mask,
    GRU_ShapedOf<[2]>:$state, Optional<GRU_ShapedOf<[3]>>:$sequence, Optional<GRU_ShapedOf<[2]>>:$last,
    GRU_ActAttr:$activation, GRU_ActAttr:$recurrent_activation, GRU_TimeOrderAttr:$order,
    UnitAttr:$reset_after, UnitAttr:$time_major, UnitAttr:$zero_output_for_mask,
    UnitAttr:$zero_by_position, UnitAttr:$zero_initial_state, UnitAttr:$unroll,
    OptionalAttr<F64Attr>:$clip, OptionalAttr<I64Attr>:$rows);
  let results = (outs Variadic<GRU_Tensor>:$results);
  let assemblyFormat = [{
    (`ins` `(` $projection^ `:` type($projection) `)`)?
    (`input` `(` $input^ `:` type($input) `)` `input_kernel` `(` $input_kernel `:` type($input_kernel) `)`)?
    (`input_bias` `(` $input_bias^ `:` type($input_bias) `)`)?
    `kernels` `(` $kernels `:` type($kernels) `)`
    oilist(`kernel_scales` `(` $kernel_scales `:` type($kernel_scales) `)`
      | `kernel_rows` `(` $kernel_rows `:` type($kernel_rows) `)`
      | `recurrent_bias` `(` $recurrent_bias `:` type($recurrent_bias) `)`
      | `mask` `(` $mask `:` type($mask) `)`
      | `reset` `(` $reset `:` type($reset) `)`
      | `recurrent_dropout_mask` `(` $recurrent_dropout_mask `:` type($recurrent_dropout_mask) `)`)
    `state` `(` $state `:` type($state) `)`
    (`sequence` `(` $sequence^ `:` type($sequence) `)`)?
    (`last` `(` $last^ `:` type($last) `)`)?
    attr-dict (`->` type($results)^)?
  }];
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    ::mlir::MutableOperandRange getDpsInitsMutable();
    /// What holds the timesteps, and in which dimension.
    std::pair<::mlir::Value, int64_t> getTimeDim() {
      if (getProjection())
        return {getProjection(), 0};
      return {getInput(), getTimeMajor() ? 0 : 1};
    }
    /// Multiplications of all timesteps, `openTimesteps` where their number is not known.
    int64_t countProducts(int64_t openTimesteps);
    /// Of the first kernel: [NB, H, G, W].
    ::mlir::ShapedType getKernelType() { return ::llvm::cast<::mlir::ShapedType>(getKernels().front().getType()); }
    int64_t getBlocks() { return getKernelType().getDimSize(0); }
    ::mlir::Type getElementType() { return ::llvm::cast<::mlir::ShapedType>(getState().getType()).getElementType(); }
    int64_t getUnits() { return ::llvm::cast<::mlir::ShapedType>(getState().getType()).getDimSize(1); }
    int64_t getBatch() { return ::llvm::cast<::mlir::ShapedType>(getState().getType()).getDimSize(0); }
    /// Of bytes four rows stand in one, see `gru.quantized_pack`.
    bool isQuantized() { return !getKernelScales().empty(); }
    int64_t getWidth() { return getKernelType().getDimSize(3) / (isQuantized() ? 4 : 1); }
    bool hasRowwiseActivation() { return getActivation().isRowwise() || getRecurrentActivation().isRowwise(); }
  }];
}

//===----------------------------------------------------------------------===//
// Step level
//===----------------------------------------------------------------------===//

def GRU_StepOp : GRU_Op<"step", [AttrSizedOperandSegments, DeclareOpInterfaceMethods<MemoryEffectsOpInterface>]> {
  let summary = "one timestep of a recurrence, or one of its phases";
  let description = [{
    Computes the new state of one timestep for all rows of the batch.

    * `projection` [B, NB, 3, W], or `input` [B, F], `input_kernel` [NB, F, 3, W]
      and `input_bias` [NB, 3, W]; `kernel` [NB, H, G, W], `recurrent_bias`
      [NB, 1, W]: as in `gru.recur`
    * with a kernel of i8 its `kernel_scale` [NB, G, W], and what the product reads as
      `gru.quantize_rows` has made it of `state`, in the phase `candidate` of
      `reset_state`: `bytes` [B, P], P being H or a few more, and `row_scale` [B]
    * `kernel_rows` [NB, G, 1 + H]: optional; the rows of the kernel that are read
    * `state` [B, NB W]: the state before the step, padded to whole blocks
    * `new_state` [B, NB W]: written
    * `output` [B, H]: optional, written: the step's output, not padded
    * `recurrent_dropout_mask` [3, B, NB W]: optional; multiplies the state in
      front of the products of z, r and h. The step writes what the products
      read to `dropped_state` [G, B, NB W] first, with the kernel's G
    * `mask` [B]: optional; rows where it is false keep their state, and the phase
      `gates` need not compute them
    * `emit` [B]: optional; rows where it is false output zeros
    * `turn`: optional; where it is true, blocks of units are walked from the
      last to the first. Turning round every other step finds in the caches
      what the step before has read last.

    `phase`: `all` is the whole step (reset_after). Without reset_after a step
    has two phases: `gates` computes z into `update` [B, NB W] and r * h (with
    recurrent dropout r * h * m) into `reset_state` [B, NB W]; `candidate` reads
    both and finishes the step, so it takes no dropout mask.

    A step whose activations are pointwise is finished in registers; one with a
    row-wise activation stores its sums in `preactivations` [B, 3, NB W] first
    (see `convert-gru-step-to-vector`).
  }];
  let arguments = (ins GRU_StepPhaseAttr:$phase,
    Optional<MemRefRankOf<[GRU_Float], [4]>>:$projection,
    Optional<MemRefRankOf<[GRU_Float], [2]>>:$input, Optional<MemRefRankOf<[GRU_Float], [4]>>:$input_kernel,
    Optional<MemRefRankOf<[GRU_Float], [3]>>:$input_bias, MemRefRankOf<[GRU_Stored], [4]>:$kernel,
    Optional<MemRefRankOf<[GRU_Float], [3]>>:$kernel_scale,
    Optional<MemRefRankOf<[I32], [3]>>:$kernel_rows,
    Optional<MemRefRankOf<[I8], [2]>>:$bytes, Optional<MemRefRankOf<[GRU_Float], [1]>>:$row_scale,
    Optional<MemRefRankOf<[GRU_Float], [3]>>:$recurrent_bias,
    Optional<MemRefRankOf<[GRU_Float], [3]>>:$recurrent_dropout_mask,
    Optional<MemRefRankOf<[GRU_Float], [3]>>:$dropped_state,
    MemRefRankOf<[GRU_Float], [2]>:$state,
    Optional<MemRefRankOf<[GRU_Float], [3]>>:$preactivations,
    Optional<MemRefRankOf<[GRU_Float], [2]>>:$update, Optional<MemRefRankOf<[GRU_Float], [2]>>:$reset_state,
    Optional<MemRefRankOf<[GRU_Float], [2]>>:$new_state, Optional<MemRefRankOf<[GRU_Float], [2]>>:$output,
    Optional<MemRefRankOf<[I1], [1]>>:$mask, Optional<MemRefRankOf<[I1], [1]>>:$emit,
    Optional<I1>:$turn, I64Attr:$units, GRU_ActAttr:$activation, GRU_ActAttr:$recurrent_activation,
    OptionalAttr<F64Attr>:$clip, OptionalAttr<I64Attr>:$rows);
  let extraClassDeclaration = [{
    /// Of bytes four rows stand in one, see `gru.quantized_pack`.
    int64_t getWidth() {
      return ::llvm::cast<::mlir::ShapedType>(getKernel().getType()).getDimSize(3) / (getKernelScale() ? 4 : 1);
    }
    bool hasRowwiseActivation() {
      return (getPhase() != StepPhase::gates && getActivation().isRowwise()) ||
             (getPhase() != StepPhase::candidate && getRecurrentActivation().isRowwise());
    }
  }];
  let assemblyFormat = [{
    $phase (`projection` `(` $projection^ `:` type($projection) `)`)?
    (`input` `(` $input^ `:` type($input) `)` `input_kernel` `(` $input_kernel `:` type($input_kernel) `)`)?
    (`input_bias` `(` $input_bias^ `:` type($input_bias) `)`)?
    `kernel` `(` $kernel `:` type($kernel) `)`
    oilist(`kernel_scale` `(` $kernel_scale `:` type($kernel_scale) `)`
      | `kernel_rows` `(` $kernel_rows `:` type($kernel_rows) `)`
      | `bytes` `(` $bytes `:` type($bytes) `)`
      | `row_scale` `(` $row_scale `:` type($row_scale) `)`
      | `recurrent_bias` `(` $recurrent_bias `:` type($recurrent_bias) `)`
      | `recurrent_dropout_mask` `(` $recurrent_dropout_mask `:` type($recurrent_dropout_mask) `)`
      | `dropped_state` `(` $dropped_state `:` type($dropped_state) `)`
      | `preactivations` `(` $preactivations `:` type($preactivations) `)`
      | `update` `(` $update `:` type($update) `)`
      | `reset_state` `(` $reset_state `:` type($reset_state) `)`
      | `new_state` `(` $new_state `:` type($new_state) `)`
      | `output` `(` $output `:` type($output) `)`
      | `mask` `(` $mask `:` type($mask) `)`
      | `emit` `(` $emit `:` type($emit) `)`
      | `turn` `(` $turn `)`)
    `state` `(` $state `:` type($state) `)` attr-dict
  }];
  let hasVerifier = 1;
}

//===----------------------------------------------------------------------===//
// Vector level
//===----------------------------------------------------------------------===//

def GRU_DotBytesOp : GRU_Op<"dot_bytes", [Pure, AllTypesMatch<["left", "right"]>, AllTypesMatch<["acc", "result"]>]> {
  let summary = "adds products of bytes, four to a lane";
  let description = [{
        result[i] = acc[i] + sum over j < 4 of left[4i + j] * right[4i + j]

    with `left` unsigned, `right` signed and exact sums in i32, which wrap round. It is
    an instruction on some CPUs and a few on others (`gru-lower-dot-bytes`), with the
    same bits everywhere.

    ```mlir
    %s = gru.dot_bytes %a, %w, %t : vector<64xi8>, vector<16xi32>
    ```

    The verifier rejects other than four bytes to a lane.
  }];
  let arguments = (ins VectorOfRankAndType<[1], [I8]>:$left, VectorOfRankAndType<[1], [I8]>:$right,
                       VectorOfRankAndType<[1], [I32]>:$acc);
  let results = (outs VectorOfRankAndType<[1], [I32]>:$result);
  let assemblyFormat = "$left `,` $right `,` $acc attr-dict `:` type($left) `,` type($acc)";
  let hasVerifier = 1;
}

#endif // GRU_OPS_TD
