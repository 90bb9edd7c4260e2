//===- GRURandomOps.td - the sources of random numbers --------*- tablegen -*-===//
//
// A file of its own: only training needs them.
//
//===----------------------------------------------------------------------===//

#ifndef GRU_RANDOM_OPS_TD
#define GRU_RANDOM_OPS_TD

include "dialect/GRUOps.td"

class GRU_RandomOp<string mnemonic> : GRU_Op<mnemonic, [Pure, DeclareOpInterfaceMethods<InferTypeOpInterface>,
    DeclareOpInterfaceMethods<ReifyRankedShapedTypeOpInterface, ["reifyResultShapes"]>]> {
  let results = (outs GRU_Tensor:$result);
  let assemblyFormat = "$key `like` $like attr-dict `:` type($key) `,` type($like) `->` type($result)";
  let hasVerifier = 1;
}

def GRU_DropoutMaskOp : GRU_RandomOp<"dropout_mask"> {
  let summary = "draws a dropout mask";
  let description = [{
    A tensor whose elements are 0 with probability `rate` and else `scale`, which
    is 1/(1 - rate) in the type of the layer. What is drawn depends on nothing but
    the operands and attributes: the same on every target and machine, and for
    every number of threads.

    * `key` [3]: the seed, how often dropout masks have been drawn, and how often
      recurrent ones have; the mask reads the second, or with `recurrent` the
      third. `seed` stands for the first where a layer has a seed of its own.
    * `stream` tells the masks of a program apart.
    * `dims`: the sizes of the mask, where -1-d is dimension d of `like`. `like`
      also gives the element type; its values are not read.

    Element i in row-major order is 0 where u_i < floor(rate * 2^32), and

        u_i = word (i mod 64) / 16 of philox(counter, seed)
        counter = (16 (i / 64) + i mod 16, stream, lo(draws), hi(draws))

    with integer divisions, lo and hi the halves of 64 bits, and Philox4x32-10 of
    Salmon, Moraes, Dror, Shaw, "Parallel Random Numbers: As Easy as 1, 2, 3"
    (SC 2011).

    A function's key is a state of that name, `gru.name = "dropout_key"`: a session
    seeds it, and resetting the states leaves it alone.

    ```mlir
    %m = gru.dropout_mask %key like %x
        {dims = array<i64: 3, -1, 8>, rate = 0.25, scale = 1.3333334, stream = 0}
        : tensor<3xi64>, tensor<?x?x8xf32> -> tensor<3x?x8xf32>
    ```

    The verifier rejects a key that is not [3] (gru_dropout_mask_c1), a dimension
    that `like` does not have (c2), a rate outside [0, 1) (c3) and a stream
    outside [0, 2^32) (c4).
  }];
  let arguments = (ins TensorRankOf<[I64], [1]>:$key, GRU_Tensor:$like, DenseI64ArrayAttr:$dims,
                       F64Attr:$rate, F64Attr:$scale, I64Attr:$stream, OptionalAttr<I64Attr>:$seed,
                       UnitAttr:$recurrent);
}

def GRU_RandomNormalOp : GRU_RandomOp<"random_normal"> {
  let summary = "draws normally distributed numbers";
  let description = [{
    A tensor of numbers of a normal distribution with `mean` and `stddev`, for the
    noise layers. `key`, `dims`, `stream` and `seed` are those of
    `gru.dropout_mask`, and so are the random bits: in a group of 64 elements, the
    words v_0 to v_3 of each of the 16 counters make four of them by the method of
    Box and Muller, in the order of the words:

        mean + stddev r_0 cos a_0     r_p = sqrt(-2 ln((v_2p + 1/2) / 2^32))
        mean + stddev r_0 sin a_0     a_p = 2 pi v_2p+1 / 2^32
        mean + stddev r_1 cos a_1
        mean + stddev r_1 sin a_1

    computed in float64, with series for ln, cos and sin whose every operation is
    rounded by itself, then rounded to float32 and to the element type. So the
    numbers, too, are the same on every target and machine.

    ```mlir
    %n = gru.random_normal %key like %x
        {dims = array<i64: -1, -2>, mean = 1.0, stddev = 0.5, stream = 0}
        : tensor<3xi64>, tensor<?x8xf32> -> tensor<?x8xf32>
    ```

    The verifier rejects a key that is not [3] (gru_random_normal_c1), a dimension
    that `like` does not have (c2), a negative or infinite deviation (c3) and a
    stream outside [0, 2^32) (c4).
  }];
  let arguments = (ins TensorRankOf<[I64], [1]>:$key, GRU_Tensor:$like, DenseI64ArrayAttr:$dims,
                       F64Attr:$mean, F64Attr:$stddev, I64Attr:$stream, OptionalAttr<I64Attr>:$seed);
}

#endif // GRU_RANDOM_OPS_TD
