#include "LoadsAhead.h"

#include "Transfer.h"
#include "lower/BlockWalk.h"

#include <algorithm>

namespace strobe::simt {

using namespace Halide;
using namespace Halide::Internal;

LoadsAhead::LoadsAhead(const Context &context, const StreamPass &pass, bool allowed) : context(context) {
    if (!allowed || context.program.points.empty()) {
        return;
    }
    std::map<size_t, Group> by_last_use;
    for (const TileOp &load : pass.step) {
        if (load.kind != TileOp::Kind::Load || context.at(load.dst).part) {
            continue;
        }
        const Bundle *bundle = context.values.bundle_of(load.dst);
        const auto is_used = [&](const TileOp &op, const std::string &value) {
            return op.a == value || op.b == value || (op.expr.defined() && expr_uses_var(op.expr, value)) ||
                   (op.kind != TileOp::Kind::Load && op.dst == value);
        };
        Group use{{load}, pass.step.size(), 0};
        for (size_t n = 0; n < pass.step.size(); n++) {
            const TileOp &op = pass.step[n];
            const bool used = bundle ? std::any_of(bundle->loads.begin(), bundle->loads.end(),
                                                   [&](const TileOp &l) { return is_used(op, l.dst); })
                                     : is_used(op, load.dst);
            if (used) {
                use.first_use = std::min(use.first_use, n);
                use.last_use = n;
            }
        }
        Group &group = by_last_use.emplace(use.last_use, Group{{}, use.first_use, use.last_use}).first->second;
        group.loads.push_back(load);
        group.first_use = std::min(group.first_use, use.first_use);
    }
    for (const auto &[last_use, group] : by_last_use) {
        if (groups.empty() || last_use == by_last_use.rbegin()->first) {
            groups.push_back(group);
            continue;
        }
        Group &others = groups[0];
        others.loads.insert(others.loads.end(), group.loads.begin(), group.loads.end());
        others.first_use = std::min(others.first_use, group.first_use);
        others.last_use = group.last_use;
    }
}

bool LoadsAhead::has(const TileOp &load) const {
    if (!groups.empty() && context.at(load.dst).part) {
        return true;
    }
    return std::any_of(groups.begin(), groups.end(), [&](const Group &g) {
        return std::any_of(g.loads.begin(), g.loads.end(), [&](const TileOp &l) { return l.dst == load.dst; });
    });
}

Stmt LoadsAhead::before_walk() const {
    std::vector<Stmt> stmts;
    for (const Group &g : groups) {
        for (const TileOp &load : g.loads) {
            stmts.push_back(lower_load(context, load));
        }
        stmts.push_back(commit_loads(context));
    }
    return stmts.empty() ? Stmt() : Block::make(stmts);
}

void LoadsAhead::before_op(size_t n, std::vector<Stmt> &stmts) const {
    for (size_t at = 0; at < groups.size(); at++) {
        if (groups[at].first_use != n) {
            continue;
        }
        // Those of the tile before that were begun later, and those of this one.
        const size_t later = groups.size() - 1 - at;
        const auto begun =
            std::count_if(groups.begin(), groups.end(), [&](const Group &g) { return g.last_use < n; });
        stmts.push_back(finish_loads(context, groups[at].loads, int(later + begun)));
    }
}

void LoadsAhead::after_op(size_t n, std::vector<Stmt> &stmts) const {
    for (const Group &g : groups) {
        if (g.last_use != n) {
            continue;
        }
        std::vector<Stmt> loads;
        for (const TileOp &load : g.loads) {
            loads.push_back(lower_load(context, load));
        }
        stmts.push_back(for_next_tile(context.program, Block::make(loads)));
        stmts.push_back(commit_loads(context));
    }
}

}  // namespace strobe::simt
