#include "OperandTiles.h"
#include "PassBuilder.h"
#include "support/Error.h"

#include <algorithm>

namespace strobe {

using namespace Halide;
using namespace Halide::Internal;

const Moment &PassBuilder::moment(const std::string &name) const {
    const auto found =
        std::find_if(plan.moments.begin(), plan.moments.end(), [&](const Moment &m) { return m.name == name; });
    strobe_internal_assert(found != plan.moments.end()) << "no moment " << name;
    return *found;
}

PassBuilder::Mean &PassBuilder::mean_of(const Moment &m) {
    return *std::find_if(means.begin(), means.end(), [&](const Mean &known) {
        return known.weight->name == m.around.weight && known.weighted->name == m.around.weighted;
    });
}

/** What the means of the pass are before the tile changes them. */
void PassBuilder::save_means() {
    for (const Moment &m : plan.moments) {
        if (!m.around.value.defined() || m.degree != 2) {
            continue;
        }
        Mean mean{&moment(m.around.weight), &moment(m.around.weighted), features_in(m.around.value), "", "", ""};
        if (mean.axes.size() > 1) {
            refuse(m, "it is a square with several feature axes");
        }
        mean.axes.insert(query);
        const Expr weight = b.ref(b.declare(mean.weight->name, m.type, {query}));
        const Expr weighted = b.ref(b.declare(mean.weighted->name, m.type, mean.axes));
        const size_t k = means.size();
        mean.before = b.declare(numbered("%c", k), m.type, mean.axes);
        mean.weight_before = b.declare(numbered("%l", k), m.type, {query});
        b.step(map_op(mean.before, m.around.mean(weight, weighted)));
        b.step(map_op(mean.weight_before, weight));
        means.push_back(mean);
    }
}

Expr PassBuilder::around_another(const Moment &m, const Expr &old, const Expr &first, const Expr &weight,
                                 const Expr &apart) {
    return m.degree == 1 ? old + apart * weight : old + apart * (2 * first + apart * weight);
}

/** The sum over the tile of weights times (value - mean)^degree, element by element, and the
 * tiles before moved to the same mean. */
void PassBuilder::add_around(const Moment &m, size_t k) {
    Mean &mean = mean_of(m);
    const std::string w = term_tile(*mean.weight, mean.weight->factor, k);
    if (mean.mean.empty()) {
        mean.mean = b.declare(numbered("%u", k), m.type, mean.axes);
        b.step(map_op(mean.mean, m.around.mean(b.ref(mean.weight->name), b.ref(mean.weighted->name))));
    }
    b.compute_inner(m.around.value);
    const Expr u = over_loaded_tiles(b, m.around.value) - b.ref(mean.mean);
    // Where the weight is 0, the value may be infinite or NaN.
    const Expr value = select(b.ref(w) != 0, b.ref(w) * (m.degree == 1 ? u : u * u), make_zero(m.type));
    b.declare(m.name, m.type, mean.axes);
    states.push_back({&m, m.name, mean.axes});
    b.pass().prologue.push_back(fill_op(m.name, make_zero(m.type)));
    const std::string d = b.declare(numbered("%d", k), m.type, mean.axes);
    b.step(reduce_op(d, ReduceOp::Sum, stream, value));
    const Expr first = m.degree > 1 ? b.ref(b.declare(m.around.first, m.type, mean.axes)) : Expr();
    Expr old = around_another(m, b.ref(m.name), first, b.ref(mean.weight_before),
                              b.ref(mean.before) - b.ref(mean.mean));
    if (m.pivot >= 0 && !weights[m.pivot].rescale.empty()) {
        old = old * cast(m.type, b.ref(weights[m.pivot].rescale));
    }
    b.step(map_op(m.name, old + b.ref(d)));
}

/** Both parts are moved to the mean of both, and added up. */
void PassBuilder::merge_around(const std::vector<Move> &moves) {
    std::vector<TileOp> &merge = b.pass().merge;
    for (const Mean &m : means) {
        merge.push_back(map_op(m.mean, Around().mean(b.ref(m.weight->name), b.ref(m.weighted->name))));
    }
    const auto other = [&](const std::string &name) { return b.ref(other_part(name)); };
    for (const State &s : states) {
        const Moment &m = *s.moment;
        if (!m.around.value.defined()) {
            continue;
        }
        const Mean &mean = mean_of(m);
        const Expr now = b.ref(mean.mean);
        const Expr others_mean = m.around.mean(other(mean.weight->name), other(mean.weighted->name));
        const bool second = m.degree > 1;
        Expr own = around_another(m, b.ref(s.name), second ? b.ref(m.around.first) : Expr(),
                                  b.ref(mean.weight_before), b.ref(mean.before) - now);
        Expr others = around_another(m, other(s.name), second ? other(m.around.first) : Expr(),
                                     other(mean.weight->name), others_mean - now);
        if (m.pivot >= 0 && !moves[m.pivot].next.empty()) {
            own = own * cast(m.type, b.ref(moves[m.pivot].own));
            others = others * cast(m.type, b.ref(moves[m.pivot].other));
        }
        merge.push_back(map_op(s.name, own + others));
    }
}

}  // namespace strobe
