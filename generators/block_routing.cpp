#include "strobe/generator.h"

/** Each block of queries sees a few blocks of keys, chosen by somebody else (as in
 * arXiv:2502.11089 and arXiv:2502.13189); within them, causal. */
class BlockRouting : public strobe::Attention<BlockRouting> {
public:
    Halide::GeneratorParam<int> block{"block", 64}, choices{"choices", 4};
    Input<Buffer<int32_t, 4>> chosen{"chosen"};  // (choice, block of queries, head, batch): a block of keys

    void define() {
        Expr s = strobe::scores(q, k)(j, i, h, b) * scale;
        Expr seen = Halide::cast<bool>(false);
        for (int n = 0; n < choices; n++) {
            seen = seen || chosen(n, i / block, h, b) == j / block;
        }
        attend(strobe::where(strobe::causal(i, j) && seen, s));
        chosen.dim(0).set_bounds(0, choices);
    }
};

HALIDE_REGISTER_GENERATOR(BlockRouting, block_routing)
