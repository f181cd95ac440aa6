#include "strobe/generator.h"

/** The keys with the greatest scores of each query, in order: their scores and positions, -inf and -1
 * where it sees fewer. */
class TopK : public strobe::Algorithm<TopK> {
public:
    GeneratorParam<int> count{"count", 4, 1, 8};
    Input<Buffer<void, 4>> q{"q"}, k{"k"};
    Input<float> scale{"scale", 0.125f, 1e-6f, 1e6f};
    Output<Buffer<float, 4>> best{"best"};
    Output<Buffer<int32_t, 4>> positions{"positions"};

    void define() {
        Expr s = strobe::where(strobe::causal(i, j), strobe::scores(q, k)(j, i, h, b) * scale);
        Func kept = strobe::greatest(s, j, k.dim(1).extent(), count);
        Expr score = kept(i, h, b)[0], position = kept(i, h, b)[int(count)];
        for (int n = 1; n < count; n++) {
            score = select(d == n, kept(i, h, b)[n], score);
            position = select(d == n, kept(i, h, b)[count + n], position);
        }
        best(d, i, h, b) = score;
        positions(d, i, h, b) = position;
    }

    template<typename Visit>
    void each_tensor(const Visit &visit) {
        visit(q, keyed());
        visit(k, keyed());
    }

    void generate() {
        Algorithm::generate();
        declare(best, count);
        declare(positions, count);
    }
};

HALIDE_REGISTER_GENERATOR(TopK, top_k)
