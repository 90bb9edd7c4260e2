//===- GRUAttrs.td - enums and attributes of the gru dialect --*- tablegen -*-===//
//
// Activations are one attribute with explicit parameters, so that Keras 2,
// Keras 3 and ONNX variants of a function are one kind with other numbers.
//
//===----------------------------------------------------------------------===//

#ifndef GRU_ATTRS_TD
#define GRU_ATTRS_TD

include "dialect/GRUDialect.td"
include "mlir/IR/AttrTypeBase.td"
include "mlir/IR/EnumAttr.td"

class GRU_Enum<string name, string summary, list<I32EnumAttrCase> cases>
    : I32EnumAttr<name, summary, cases> {
  let cppNamespace = "::gru";
  let genSpecializedAttr = 0;
}

//===----------------------------------------------------------------------===//
// Activations
//===----------------------------------------------------------------------===//

def GRU_ActivationKind : GRU_Enum<"ActivationKind", "activation function", [
  I32EnumAttrCase<"linear", 0>,
  I32EnumAttrCase<"tanh", 1>,
  I32EnumAttrCase<"sigmoid", 2>,
  I32EnumAttrCase<"hard_sigmoid", 3>,
  I32EnumAttrCase<"relu", 4>,
  I32EnumAttrCase<"leaky_relu", 5>,
  I32EnumAttrCase<"elu", 6>,
  I32EnumAttrCase<"celu", 7>,
  I32EnumAttrCase<"selu", 8>,
  I32EnumAttrCase<"softplus", 9>,
  I32EnumAttrCase<"softsign", 10>,
  I32EnumAttrCase<"squareplus", 11>,
  I32EnumAttrCase<"soft_shrink", 12>,
  I32EnumAttrCase<"hard_shrink", 13>,
  I32EnumAttrCase<"hard_tanh", 14>,
  I32EnumAttrCase<"tanh_shrink", 15>,
  I32EnumAttrCase<"sparse_plus", 16>,
  I32EnumAttrCase<"sparse_sigmoid", 17>,
  I32EnumAttrCase<"silu", 18>,
  I32EnumAttrCase<"gelu", 19>,
  I32EnumAttrCase<"exponential", 20>,
  I32EnumAttrCase<"hard_silu", 21>,
  I32EnumAttrCase<"mish", 22>,
  I32EnumAttrCase<"log_sigmoid", 23>,
  I32EnumAttrCase<"softmax", 24>,
  I32EnumAttrCase<"log_softmax", 25>,
  I32EnumAttrCase<"sparsemax", 26>,
  I32EnumAttrCase<"affine", 27>,
  I32EnumAttrCase<"thresholded_relu", 28>,
  I32EnumAttrCase<"scaled_tanh", 29>
]>;

def GRU_ActAttr : AttrDef<GRU_Dialect, "Act"> {
  let mnemonic = "act";
  let summary = "an activation function with its parameters";
  let description = [{
    Examples: `#gru.act<tanh>`, `#gru.act<hard_sigmoid, alpha = 0.2, beta = 0.5>`.
    A parameter that is left out takes its default; the attribute always holds
    explicit numbers.

    | kind | formula | parameters (default) |
    | --- | --- | --- |
    | `linear` | x | |
    | `tanh` | tanh x | |
    | `sigmoid` | 1 / (1 + e^-x) | |
    | `hard_sigmoid` | clip(alpha x + beta, 0, 1) | alpha (1/6), beta (0.5): Keras 3. Keras 2 and ONNX: 0.2, 0.5 |
    | `relu` | min(x, beta) for x >= gamma, else alpha (x - gamma) | alpha: slope (0), beta: maximum (inf), gamma: threshold (0) |
    | `leaky_relu` | x for x > 0, else alpha x | alpha (0.2) |
    | `elu` | x for x > 0, else alpha (e^x - 1) | alpha (1) |
    | `celu` | x for x > 0, else alpha (e^(x/alpha) - 1) | alpha (1) |
    | `selu` | 1.0507009873554805 elu(x) with alpha 1.6732632423543772 | |
    | `softplus` | log(1 + e^x) | |
    | `softsign` | x / (1 + abs x) | |
    | `squareplus` | (x + sqrt(x^2 + alpha)) / 2 | alpha (4) |
    | `soft_shrink` | x - alpha for x > alpha, x + alpha for x < -alpha, else 0 | alpha (0.5) |
    | `hard_shrink` | x for abs x > alpha, else 0 | alpha (0.5) |
    | `hard_tanh` | clip(x, -1, 1) | |
    | `tanh_shrink` | x - tanh x | |
    | `sparse_plus` | 0 for x <= -1, (x + 1)^2 / 4 for x < 1, else x | |
    | `sparse_sigmoid` | clip((x + 1) / 2, 0, 1) | |
    | `silu` | x sigmoid(x) | |
    | `gelu` | x (1 + erf(x / sqrt 2)) / 2 | |
    | `exponential` | e^x | |
    | `hard_silu` | x clip(x + 3, 0, 6) / 6 | |
    | `mish` | x tanh(softplus(x)) | |
    | `log_sigmoid` | -softplus(-x) | |
    | `softmax` | e^(x_i - max x) / sum, over the last axis | |
    | `log_softmax` | log softmax(x), over the last axis | |
    | `sparsemax` | max(x - tau, 0) over the last axis, with Keras's tau: the sum of the cumulative sums over the support, minus 1, by the size of the support | |
    | `affine` | alpha x + beta | alpha (1), beta (0) |
    | `thresholded_relu` | x for x >= alpha, else 0 | alpha (1) |
    | `scaled_tanh` | alpha tanh(beta x) | alpha (1), beta (1) |

    softmax, log_softmax and sparsemax act on whole rows (`isRowwise()`), all
    others on single elements.
  }];
  let parameters = (ins EnumParameter<GRU_ActivationKind>:$kind,
                        APFloatParameter<"">:$alphaValue, APFloatParameter<"">:$betaValue,
                        APFloatParameter<"">:$gammaValue);
  let builders = [
    AttrBuilder<(ins "ActivationKind":$kind), [{
      ActDefaults d = getActDefaults(kind);
      return get($_ctxt, kind, d.alpha, d.beta, d.gamma);
    }]>,
    AttrBuilder<(ins "ActivationKind":$kind, "double":$alpha, CArg<"double", "0.0">:$beta,
                     CArg<"double", "0.0">:$gamma), [{
      return $_get($_ctxt, kind, ::llvm::APFloat(alpha), ::llvm::APFloat(beta), ::llvm::APFloat(gamma));
    }]>
  ];
  let skipDefaultBuilders = 1;
  let hasCustomAssemblyFormat = 1;
  let extraClassDeclaration = [{
    /// True for activations over a whole row (the last axis): softmax,
    /// log_softmax, sparsemax.
    bool isRowwise() const;
    double getAlpha() const { return getAlphaValue().convertToDouble(); }
    double getBeta() const { return getBetaValue().convertToDouble(); }
    double getGamma() const { return getGammaValue().convertToDouble(); }
  }];
}

//===----------------------------------------------------------------------===//
// Scheduling attributes of the sequence and step levels
//===----------------------------------------------------------------------===//

def GRU_TimeOrder : GRU_Enum<"TimeOrder", "order in which timesteps are processed and written", [
  I32EnumAttrCase<"forward", 0>,
  I32EnumAttrCase<"backward", 1>,
  I32EnumAttrCase<"backward_processed", 2>
]>;
def GRU_TimeOrderAttr : EnumAttr<GRU_Dialect, GRU_TimeOrder, "order"> {
  let summary = "order in which timesteps are processed and written";
  let description = [{
    `forward`: step i reads and writes time i. `backward`: step i reads and
    writes time T-1-i. `backward_processed`: step i reads time T-1-i and writes
    position i, which is what Keras returns for `go_backwards`.
  }];
  let assemblyFormat = "`<` $value `>`";
}

def GRU_PackPart : GRU_Enum<"PackPart", "what a pack takes from a weight", [
  I32EnumAttrCase<"all", 0>,
  I32EnumAttrCase<"gates", 1>,
  I32EnumAttrCase<"candidate", 2>,
  I32EnumAttrCase<"input_bias", 3>,
  I32EnumAttrCase<"recurrent_bias", 4>
]>;
def GRU_PackPartAttr : EnumAttr<GRU_Dialect, GRU_PackPart, "part"> {
  let summary = "what a pack takes from a weight";
  let assemblyFormat = "`<` $value `>`";
}

def GRU_StepPhase : GRU_Enum<"StepPhase", "which part of a step is computed", [
  I32EnumAttrCase<"all", 0>,
  I32EnumAttrCase<"gates", 1>,
  I32EnumAttrCase<"candidate", 2>
]>;
def GRU_StepPhaseAttr : EnumAttr<GRU_Dialect, GRU_StepPhase, "phase"> {
  let summary = "which part of a step is computed";
  let assemblyFormat = "`<` $value `>`";
}

#endif // GRU_ATTRS_TD
