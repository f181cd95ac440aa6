#include "OperandTiles.h"
#include "PassBuilder.h"

#include <algorithm>
#include <limits>

namespace strobe {

using namespace Halide;
using namespace Halide::Internal;

/** The values that the walk carries for a selection: of each factor one a rank, the key's first. */
void PassBuilder::declare_kept(const Selection &s, int index) {
    Kept kept{&s, {}};
    kept.lists.push_back({s.key, {query}, s.key.type(), {}});
    for (const Moment &m : plan.moments) {
        const bool known = std::any_of(kept.lists.begin(), kept.lists.end(),
                                       [&](const KeptList &l) { return graph_equal(l.factor, m.factor); });
        if (m.selection == index && !known) {
            std::set<std::string> axes = features_in(m.factor);
            axes.insert(query);
            kept.lists.push_back({m.factor, axes, m.type, {}});
        }
    }
    for (KeptList &list : kept.lists) {
        for (int rank = 0; rank < s.count; rank++) {
            const auto named = std::find_if(plan.moments.begin(), plan.moments.end(), [&](const Moment &m) {
                return m.selection == index && m.rank == rank && graph_equal(m.factor, list.factor);
            });
            const std::string name =
                named != plan.moments.end() ? named->name : b.unique(s.name + ".rank" + std::to_string(rank));
            list.names.push_back(b.declare(name, list.type, list.axes));
            const bool is_key = &list == &kept.lists[0];
            b.pass().prologue.push_back(
                fill_op(name, is_key ? identity_of(kept.op(), list.type) : make_zero(list.type)));
        }
    }
    selected.push_back(kept);
}

/** One more element takes its place among those kept, behind its equals; it is not better than
 * the first \p from. */
void PassBuilder::insert(const Kept &kept, const std::vector<Expr> &element, int from, std::vector<TileOp> &ops) {
    const auto better = [&](int rank) {
        const Expr known = b.ref(kept.lists[0].names[rank]);
        return kept.selection->greatest ? element[0] > known : element[0] < known;
    };
    for (int rank = kept.selection->count; rank-- > from;) {
        for (size_t n = kept.lists.size(); n-- > 0;) {  // the keys last: they decide
            const std::vector<std::string> &names = kept.lists[n].names;
            Expr moved = element[n];
            if (rank > from) {
                moved = select(better(rank - 1), b.ref(names[rank - 1]), moved);
            }
            ops.push_back(map_op(names[rank], select(better(rank), moved, b.ref(names[rank]))));
        }
    }
}

/** The best of the tile, one after another. */
void PassBuilder::add_selection(const Selection &s, int index) {
    declare_kept(s, index);
    const Kept &kept = selected.back();
    Moment keys;
    keys.op = kept.op();
    keys.type = s.key.type();
    keys.guard = s.guard;
    const size_t k = first_moment + plan.moments.size() + index;
    std::string e = term_tile(keys, s.key, k);
    const Expr j = Variable::make(Int(32), stream);
    const Expr nowhere = make_const(Int(32), std::numeric_limits<int32_t>::max());
    for (int rank = 0; rank < s.count; rank++) {
        const std::string top = b.declare(numbered("%t", k), keys.type, {query});
        const std::string at = b.declare(numbered("%a", k), Int(32), {query});
        b.step(reduce_op(top, keys.op, stream, b.ref(e)));
        b.step(reduce_op(at, ReduceOp::Min, stream, select(b.ref(e) == b.ref(top), j, nowhere)));
        std::vector<Expr> element = {b.ref(top)};
        for (size_t n = 1; n < kept.lists.size(); n++) {
            const KeptList &list = kept.lists[n];
            const Variable *position = list.factor.as<Variable>();
            if (position && position->name == stream) {
                element.push_back(b.ref(at));
                continue;
            }
            b.compute_inner(list.factor);
            const Expr value = over_loaded_tiles(b, list.factor);
            const std::string d = b.declare(numbered("%d", k), list.type, list.axes);
            b.step(reduce_op(d, ReduceOp::Sum, stream, select(j == b.ref(at), value, make_zero(list.type))));
            element.push_back(b.ref(d));
        }
        insert(kept, element, rank, b.pass().step);
        if (rank + 1 < s.count) {
            const std::string rest = b.declare(numbered("%y", k), keys.type, {query, stream});
            b.step(map_op(rest, select(j == b.ref(at), identity_of(keys.op, keys.type), b.ref(e))));
            e = rest;
        }
    }
}

/** The elements that the other part kept, in order. */
void PassBuilder::merge_selections() {
    for (const Kept &kept : selected) {
        for (const KeptList &list : kept.lists) {
            for (const std::string &name : list.names) {
                b.pass().state.push_back(name);
                b.declare(other_part(name), list.type, list.axes);
            }
        }
        for (int rank = 0; rank < kept.selection->count; rank++) {
            std::vector<Expr> element;
            for (const KeptList &list : kept.lists) {
                element.push_back(b.ref(other_part(list.names[rank])));
            }
            insert(kept, element, rank, b.pass().merge);
        }
    }
}

}  // namespace strobe
