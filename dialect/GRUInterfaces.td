//===- GRUInterfaces.td - what backends ask of a layer --------*- tablegen -*-===//

#ifndef GRU_INTERFACES_TD
#define GRU_INTERFACES_TD

include "mlir/IR/OpBase.td"

def GRU_RecurrentOpInterface : OpInterface<"RecurrentOpInterface"> {
  let cppNamespace = "::gru";
  let description = [{
    What a backend needs to know of a recurrent layer in order to accept or
    refuse it, so that no backend casts to a concrete operation.
  }];
  let methods = [
    InterfaceMethod<"Number of units H.", "int64_t", "getUnits">,
    InterfaceMethod<"Number of input features F.", "int64_t", "getFeatures">,
    InterfaceMethod<"Activation of the candidate state.", "::gru::ActAttr", "getCandidateActivation">,
    InterfaceMethod<"Activation of the update and reset gates.", "::gru::ActAttr", "getGateActivation">,
    InterfaceMethod<"True where the reset gate multiplies the recurrent product instead of the state.",
                    "bool", "isResetAfter">,
    InterfaceMethod<"True where the sequence is processed from its end.", "bool", "isGoBackwards">,
    InterfaceMethod<"True where steps can be masked, by a mask or by lengths.", "bool", "isMasked">,
    InterfaceMethod<"True where an activation needs the whole row of units.", "bool", "hasRowwiseActivation",
                    (ins), [{}], [{
      return $_op.getCandidateActivation().isRowwise() || $_op.getGateActivation().isRowwise();
    }]>
  ];
}

#endif // GRU_INTERFACES_TD
