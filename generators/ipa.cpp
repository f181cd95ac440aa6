#include "strobe/generator.h"

/** Invariant point attention (AlphaFold 2, Algorithm 22): scores from features, a pair bias
 * and distances between points; features, points and pair features are attended. */
class Ipa : public strobe::Attention<Ipa> {
public:
    Halide::GeneratorParam<int> query_points{"query_points", 4}, value_points{"value_points", 8};
    Halide::GeneratorParam<int> pair_dim{"pair_dim", 128};
    Input<Buffer<float, 5>> q_points{"q_points"}, k_points{"k_points"}, v_points{"v_points"};  // (x, point, i, h, b)
    Input<Buffer<void, 4>> bias{"bias"};    // (key, query, head, batch)
    Input<Buffer<void, 4>> pair{"pair"};    // (pair feature, key, query, batch)
    Input<Buffer<float, 1>> gamma{"gamma"};  // one a head
    Output<Buffer<float, 5>> out_points{"out_points"};
    Output<Buffer<float, 4>> out_pair{"out_pair"};

    template<typename Visit>
    void each_tensor(const Visit &visit) {
        Attention::each_tensor(visit);
        visit(bias, 0);
        visit(pair, pair_dim);
    }

    void define() {
        const Halide::Var x("x"), n("n"), f("f");
        Halide::RDom xyz(0, 3, 0, query_points, "point"), all(0, keys(), "j");
        Func distance("distance"), points("points"), pairs("pairs");
        Expr difference = q_points(xyz.x, xyz.y, i, h, b) - k_points(xyz.x, xyz.y, j, h, b);
        distance(j, i, h, b) += difference * difference;
        Expr s = strobe::scores(q, k)(j, i, h, b) * scale + Halide::cast<float>(bias(j, i, h, b)) -
                 gamma(h) * distance(j, i, h, b);
        strobe::Softmax p = strobe::softmax(s, keys());
        points(x, n, i, h, b) += p.weights(all, i, h, b) * v_points(x, n, all, h, b);
        pairs(f, i, h, b) += p.weights(all, i, h, b) * Halide::cast<float>(pair(f, all, i, b));
        attend(p);
        out_points(x, n, i, h, b) = points(x, n, i, h, b);
        out_pair(f, i, h, b) = pairs(f, i, h, b);
        for (auto *t : {&q_points, &k_points, &v_points}) {
            declare(*t, 3);
            t->dim(1).set_bounds(0, t == &v_points ? value_points : query_points);
        }
        declare(out_points, 3);
        out_points.dim(1).set_bounds(0, value_points);
        declare(out_pair, pair_dim);
    }
};

HALIDE_REGISTER_GENERATOR(Ipa, ipa)
