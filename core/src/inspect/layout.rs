//! Layered drawing of a graph: every edge goes down, few edges cross, and chains are straight.
//!
//! After K. Sugiyama, S. Tagawa, M. Toda, "Methods for visual understanding of hierarchical system structures"
//! (1981): layers by longest paths, stand-ins for edges over several layers, order by means of neighbours, and
//! places in a row by least squares (pool adjacent violators).

/// What is to be placed.
pub(super) struct Input<'a> {
    /// Width and height of each box.
    pub sizes: &'a [(f64, f64)],
    /// From, to, and from where to where along the boxes' edges: fractions of their widths.
    pub edges: &'a [(usize, usize, f64)],
}

/// Where everything is.
pub(super) struct Layout {
    /// The left upper corner of each box.
    pub boxes: Vec<(f64, f64)>,
    /// For each edge the points that it goes through; between the points of one layer it goes straight down.
    pub routes: Vec<Vec<(f64, f64)>>,
    /// The size of all.
    pub size: (f64, f64),
}

/// Between boxes of a row, and between rows.
const BESIDE: f64 = 18.0;
const BELOW: f64 = 34.0;
/// Between stand-ins.
const THREADS: f64 = 10.0;
/// More boxes than this get fewer rounds of improvement.
const MANY: usize = 600;

/// A box, or the stand-in of an edge in a layer.
struct Item {
    width: f64,
    layer: usize,
    /// The box, if it is one.
    own: Option<usize>,
    above: Vec<usize>,
    below: Vec<usize>,
}

/// Places boxes so that edges go down.
pub(super) fn layout(input: &Input<'_>) -> Layout {
    let layers = layers(input);
    let (mut items, chains) = items(input, &layers);
    let rounds = if items.len() > MANY { 4 } else { 24 };
    let mut rows = order(&mut items, rounds);
    let centres = centres(&items, &mut rows, rounds);
    // Rows are as high as their highest box.
    let mut heights = vec![0.0f64; rows.len()];
    for item in &items {
        if let Some(own) = item.own {
            heights[item.layer] = heights[item.layer].max(input.sizes[own].1);
        }
    }
    let tops: Vec<f64> = heights
        .iter()
        .scan(0.0, |next, height| {
            let top = *next;
            *next += height + BELOW;
            Some(top)
        })
        .collect();
    let mut boxes = vec![(0.0, 0.0); input.sizes.len()];
    for (at, item) in items.iter().enumerate() {
        if let Some(own) = item.own {
            let (width, height) = input.sizes[own];
            boxes[own] = (centres[at] - width / 2.0, tops[item.layer] + (heights[item.layer] - height) / 2.0);
        }
    }
    let bottom = |layer: usize| tops[layer] + heights[layer];
    let routes = input.edges.iter().zip(&chains).map(|(&(from, to, port), chain)| {
        let (left, end) = (boxes[from].0 + input.sizes[from].0 / 2.0, boxes[to].0 + input.sizes[to].0 * port);
        // Beside a higher box of the row an edge goes straight.
        let mut points = vec![(left, boxes[from].1 + input.sizes[from].1), (left, bottom(layers[from]))];
        for &item in chain {
            let layer = items[item].layer;
            points.extend([(centres[item], tops[layer]), (centres[item], bottom(layer))]);
        }
        points.extend([(end, tops[layers[to]]), (end, boxes[to].1)]);
        points
    });
    let routes = routes.collect();
    let width = boxes.iter().zip(input.sizes).map(|(place, size)| place.0 + size.0).fold(0.0, f64::max);
    let width = items.iter().zip(&centres).map(|(item, centre)| centre + item.width / 2.0).fold(width, f64::max);
    let height = tops.last().zip(heights.last()).map_or(0.0, |(top, height)| top + height);
    Layout { boxes, routes, size: (width, height) }
}

/// The layer of each box: below all that it needs; what needs nothing, just above its first user.
fn layers(input: &Input<'_>) -> Vec<usize> {
    let count = input.sizes.len();
    let mut needs = vec![0usize; count];
    let mut users: Vec<Vec<usize>> = vec![Vec::new(); count];
    for &(from, to, _) in input.edges {
        needs[to] += 1;
        users[from].push(to);
    }
    let sources: Vec<usize> = (0..count).filter(|&at| needs[at] == 0).collect();
    let mut layer = vec![0usize; count];
    let mut ready = sources.clone();
    while let Some(at) = ready.pop() {
        for &user in &users[at] {
            layer[user] = layer[user].max(layer[at] + 1);
            needs[user] -= 1;
            if needs[user] == 0 {
                ready.push(user);
            }
        }
    }
    for at in sources {
        if let Some(first) = users[at].iter().map(|&user| layer[user]).min() {
            layer[at] = first.saturating_sub(1);
        }
    }
    layer
}

/// Boxes and stand-ins, and for each edge its stand-ins from above. Edges from one box share them.
fn items(input: &Input<'_>, layers: &[usize]) -> (Vec<Item>, Vec<Vec<usize>>) {
    let item = |width, layer, own| Item { width, layer, own, above: Vec::new(), below: Vec::new() };
    let mut items: Vec<Item> =
        input.sizes.iter().zip(layers).enumerate().map(|(at, (size, &layer))| item(size.0, layer, Some(at))).collect();
    let mut threads: std::collections::HashMap<(usize, usize), usize> = std::collections::HashMap::new();
    let mut chains = Vec::new();
    for &(from, to, _) in input.edges {
        let mut chain = Vec::new();
        let mut last = from;
        for layer in layers[from] + 1..layers[to] {
            let next = *threads.entry((from, layer)).or_insert_with(|| {
                items.push(item(2.0, layer, None));
                items.len() - 1
            });
            if !items[last].below.contains(&next) {
                items[last].below.push(next);
                items[next].above.push(last);
            }
            chain.push(next);
            last = next;
        }
        items[last].below.push(to);
        items[to].above.push(last);
        chains.push(chain);
    }
    (items, chains)
}

/// Items row by row, in an order with few crossings: the best of some rounds.
fn order(items: &mut [Item], rounds: usize) -> Vec<Vec<usize>> {
    let count = items.iter().map(|item| item.layer + 1).max().unwrap_or(0);
    let mut rows: Vec<Vec<usize>> = vec![Vec::new(); count];
    // From the last layer up, so that what belongs together starts side by side.
    let mut seen = vec![false; items.len()];
    let mut bottoms: Vec<usize> = (0..items.len()).filter(|&at| items[at].below.is_empty()).collect();
    bottoms.sort_by_key(|&at| std::cmp::Reverse(items[at].layer));
    for bottom in bottoms {
        let mut stack = vec![bottom];
        while let Some(at) = stack.pop() {
            if !std::mem::replace(&mut seen[at], true) {
                rows[items[at].layer].push(at);
                stack.extend(items[at].above.iter().rev());
            }
        }
    }
    let mut best = rows.clone();
    let mut least = crossings(items, &rows);
    let mut place = vec![0usize; items.len()];
    for round in 0..rounds {
        if least == 0 {
            break;
        }
        let down = round % 2 == 0;
        for step in 0..count {
            let layer = if down { step } else { count - 1 - step };
            for row in &rows {
                for (at, &item) in row.iter().enumerate() {
                    place[item] = at;
                }
            }
            let mean = |item: usize| {
                let near = if down { &items[item].above } else { &items[item].below };
                let sum: usize = near.iter().map(|&near| place[near]).sum();
                if near.is_empty() { place[item] as f64 } else { sum as f64 / near.len() as f64 }
            };
            let mut keyed: Vec<(f64, usize)> = rows[layer].iter().map(|&item| (mean(item), item)).collect();
            keyed.sort_by(|a, b| a.0.total_cmp(&b.0));
            rows[layer] = keyed.into_iter().map(|(_, item)| item).collect();
        }
        let now = crossings(items, &rows);
        if now < least {
            (least, best) = (now, rows.clone());
        }
    }
    best
}

/// How many pairs of edges cross, by counting inversions.
fn crossings(items: &[Item], rows: &[Vec<usize>]) -> usize {
    let mut place = vec![0usize; items.len()];
    for row in rows {
        for (at, &item) in row.iter().enumerate() {
            place[item] = at;
        }
    }
    let mut total = 0;
    for (row, next) in rows.iter().zip(rows.iter().skip(1)) {
        let mut tree = vec![0usize; next.len() + 1];
        let mut before = 0;
        for &item in row {
            let mut ends: Vec<usize> = items[item].below.iter().map(|&below| place[below]).collect();
            ends.sort_unstable();
            for &end in &ends {
                let (mut at, mut up_to) = (end + 1, 0);
                while at > 0 {
                    up_to += tree[at];
                    at &= at - 1;
                }
                total += before - up_to;
            }
            for &end in &ends {
                let mut at = end + 1;
                while at < tree.len() {
                    tree[at] += 1;
                    at += at & at.wrapping_neg();
                }
                before += 1;
            }
        }
    }
    total
}

/// The centre of each item: near the mean of its neighbours', without touching the next in the row.
fn centres(items: &[Item], rows: &mut [Vec<usize>], rounds: usize) -> Vec<f64> {
    let gap = |left: usize, right: usize| {
        let beside = if items[left].own.is_some() || items[right].own.is_some() { BESIDE } else { THREADS };
        (items[left].width + items[right].width) / 2.0 + beside
    };
    let mut x = vec![0.0f64; items.len()];
    for row in rows.iter() {
        for pair in row.windows(2) {
            x[pair[1]] = x[pair[0]] + gap(pair[0], pair[1]);
        }
    }
    for round in 0..6 * rounds + 2 {
        let layers: Vec<usize> = if round % 2 == 0 { (0..rows.len()).collect() } else { (0..rows.len()).rev().collect() };
        for layer in layers {
            let row = &rows[layer];
            let wish = |item: usize| {
                let (above, below) = (&items[item].above, &items[item].below);
                let thread = items[item].own.is_none();
                let mut sum = 0.0;
                let mut weight = 0.0;
                for &near in above.iter().chain(below) {
                    // Threads are straight before all else.
                    let own = if thread && items[near].own.is_none() { 40.0 } else { 1.0 };
                    sum += own * x[near];
                    weight += own;
                }
                if weight == 0.0 { (x[item], 0.1) } else { (sum / weight, weight) }
            };
            let wishes: Vec<(f64, f64)> = row.iter().map(|&item| wish(item)).collect();
            let offsets: Vec<f64> = row
                .windows(2)
                .scan(0.0, |sum, pair| {
                    *sum += gap(pair[0], pair[1]);
                    Some(*sum)
                })
                .collect();
            let offset = |at: usize| if at == 0 { 0.0 } else { offsets[at - 1] };
            // Blocks of items that touch: mean wish, weight, how many.
            let mut blocks: Vec<(f64, f64, usize)> = Vec::new();
            for (at, &(wish, weight)) in wishes.iter().enumerate() {
                blocks.push((wish - offset(at), weight, 1));
                while let [.., a, b] = blocks.as_slice()
                    && a.0 > b.0
                {
                    let merged = ((a.0 * a.1 + b.0 * b.1) / (a.1 + b.1), a.1 + b.1, a.2 + b.2);
                    blocks.truncate(blocks.len() - 2);
                    blocks.push(merged);
                }
            }
            let mut at = 0;
            for (mean, _, count) in blocks {
                for _ in 0..count {
                    x[row[at]] = mean + offset(at);
                    at += 1;
                }
            }
        }
    }
    let left = items.iter().zip(&x).map(|(item, x)| x - item.width / 2.0).fold(f64::INFINITY, f64::min);
    x.iter().map(|x| x - left).collect()
}
