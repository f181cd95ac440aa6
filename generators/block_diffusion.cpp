#include "strobe/generator.h"

/** A noisy copy of the sequence, block by block, given the clean one (arXiv:2503.09573). */
class BlockDiffusion : public strobe::Attention<BlockDiffusion> {
public:
    Input<int32_t> length{"length", 512, 1, 1 << 30}, block{"block", 32, 1, 1 << 20};

    void define() {
        Expr s = strobe::scores(q, k)(j, i, h, b) * scale;
        attend(strobe::where(strobe::block_diffusion(i, j, length, block), s));
    }
};

HALIDE_REGISTER_GENERATOR(BlockDiffusion, block_diffusion)
