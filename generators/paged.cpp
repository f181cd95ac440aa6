#include "strobe/generator.h"

/** Keys and values lie in pages of a pool that all sequences share; a table says which
 * page holds which part of a sequence (arXiv:2309.06180). */
class Paged : public strobe::Algorithm<Paged> {
public:
    Halide::GeneratorParam<int> page{"page", 16};
    Input<Buffer<void, 4>> q{"q"};                       // (feature, position, head, batch)
    Input<Buffer<void, 4>> k{"k"}, v{"v"};               // (feature, position in the page, head, page)
    Input<Buffer<int32_t, 2>> table{"table"};            // (part of the sequence, batch): its page
    Input<Buffer<int32_t, 1>> key_length{"key_length"};  // (batch)
    Input<float> scale{"scale", 0.125f, 1e-6f, 1e6f};
    Output<Buffer<void, 4>> out{"out"};

    template<typename Visit>
    void each_tensor(const Visit &visit) {
        visit(q, keyed());
        visit(k, keyed());
        visit(v, valued());
        visit(out, valued());
    }

    void define() {
        const strobe::Tensor query(q), pool(k);
        Expr head = strobe::grouped(h, query, pool), keys = table.dim(0).extent() * page;
        Halide::RDom c(0, keyed(), "c"), all(0, keys, "j");
        Func s("scores"), sum("weighted_sum"), holder("page");
        holder(j, b) = clamp(table(j / page, b), 0, k.dim(3).extent() - 1);
        s(j, i, h, b) += Halide::cast<float>(q(c, i, h, b)) *
                         Halide::cast<float>(k(c, j % page, head, holder(j, b)));
        Func p = strobe::softmax(strobe::where(j < key_length(b), s(j, i, h, b) * scale), keys).weights;
        sum(d, i, h, b) += p(all, i, h, b) * Halide::cast<float>(v(d, all % page, head, holder(all, b)));
        out(d, i, h, b) = stored(sum(d, i, h, b));
        k.dim(1).set_bounds(0, page);
        v.dim(1).set_bounds(0, page);
    }
};

HALIDE_REGISTER_GENERATOR(Paged, paged)
