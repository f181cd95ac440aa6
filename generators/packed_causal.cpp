#include "strobe/generator.h"

/** Several documents packed into one sequence, each causal. */
class PackedCausal : public strobe::Attention<PackedCausal> {
public:
    Input<Buffer<int32_t, 2>> document{"document"};  // (position, batch)

    void define() {
        Expr s = strobe::scores(q, k)(j, i, h, b) * scale;
        attend(strobe::where(strobe::causal(i, j) && strobe::same_document(document, i, j, b), s));
    }
};

HALIDE_REGISTER_GENERATOR(PackedCausal, packed_causal)
