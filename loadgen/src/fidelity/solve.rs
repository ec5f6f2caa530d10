//! Least squares by Levenberg and Marquardt, regularised towards the start. A fit here has about
//! fifty unknowns, so a dense solver is fast enough. The result is the same bits on every machine.

const ROUNDS: usize = 60;
const STEP: f64 = 1e-4;

/// Minimises the squares of `residuals(x)` and of `(x - x0) / sigma` together.
pub fn least_squares(
    start: &[f64],
    sigma: &[f64],
    residuals: impl Fn(&[f64]) -> Vec<f64>,
) -> Vec<f64> {
    let pull = |x: &[f64]| -> Vec<f64> {
        x.iter().zip(start).zip(sigma).map(|((x, x0), sigma)| (x - x0) / sigma).collect()
    };
    let square = |values: &[f64]| values.iter().map(|value| value * value).sum::<f64>();
    let mut x = start.to_vec();
    let mut errors = residuals(&x);
    let mut cost = square(&errors) + square(&pull(&x));
    let mut damping = 1e-3;
    for _ in 0..ROUNDS {
        let slopes = slopes(&x, &errors, &residuals);
        let n = x.len();
        let mut normal = vec![vec![0.0; n]; n];
        let mut gradient = vec![0.0; n];
        let pulled = pull(&x);
        for i in 0..n {
            for j in 0..=i {
                let dot: f64 = slopes[i].iter().zip(&slopes[j]).map(|(a, b)| a * b).sum();
                normal[i][j] = dot;
                normal[j][i] = dot;
            }
            normal[i][i] += 1.0 / (sigma[i] * sigma[i]);
            let dot: f64 = slopes[i].iter().zip(&errors).map(|(a, b)| a * b).sum();
            gradient[i] = dot + pulled[i] / sigma[i];
        }
        let before = cost;
        while damping < 1e9 {
            let mut damped = normal.clone();
            for (i, row) in damped.iter_mut().enumerate() {
                row[i] *= 1.0 + damping;
            }
            let Some(step) = cholesky_solve(damped, &gradient) else {
                damping *= 4.0;
                continue;
            };
            let tried: Vec<f64> = x.iter().zip(&step).map(|(x, step)| x - step).collect();
            let errors_there = residuals(&tried);
            let cost_there = square(&errors_there) + square(&pull(&tried));
            if cost_there < cost {
                (x, errors, cost) = (tried, errors_there, cost_there);
                damping *= 0.3;
                break;
            }
            damping *= 4.0;
        }
        if before - cost < 1e-7 * before {
            break;
        }
    }
    x
}

/// Slopes by unknown, then by residual.
fn slopes(x: &[f64], errors: &[f64], residuals: &impl Fn(&[f64]) -> Vec<f64>) -> Vec<Vec<f64>> {
    let slope = |i: usize| {
        let mut moved = x.to_vec();
        moved[i] += STEP;
        let there = residuals(&moved);
        there.iter().zip(errors).map(|(there, here)| (there - here) / STEP).collect()
    };
    (0..x.len()).map(slope).collect()
}

/// Solves `a x = b` for a symmetric positive definite `a`. None: it is not.
#[allow(clippy::needless_range_loop)] // Triangles are clearer in indices.
fn cholesky_solve(mut a: Vec<Vec<f64>>, b: &[f64]) -> Option<Vec<f64>> {
    let n = b.len();
    for i in 0..n {
        for j in 0..=i {
            let known: f64 = (0..j).map(|k| a[i][k] * a[j][k]).sum();
            if i == j {
                let square = a[i][i] - known;
                if square <= 0.0 || !square.is_finite() {
                    return None;
                }
                a[i][i] = square.sqrt();
            } else {
                a[i][j] = (a[i][j] - known) / a[j][j];
            }
        }
    }
    let mut x = b.to_vec();
    for i in 0..n {
        let known: f64 = (0..i).map(|k| a[i][k] * x[k]).sum();
        x[i] = (x[i] - known) / a[i][i];
    }
    for i in (0..n).rev() {
        let known: f64 = (i + 1..n).map(|k| a[k][i] * x[k]).sum();
        x[i] = (x[i] - known) / a[i][i];
    }
    Some(x)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_is_found_again_and_what_nothing_measures_stays() {
        // y = 3 x^0.5. The third unknown affects no residual.
        let points = [(1.0, 3.0), (4.0, 6.0), (9.0, 9.0), (16.0, 12.0)];
        let residuals = |p: &[f64]| -> Vec<f64> {
            points.iter().map(|&(x, y): &(f64, f64)| 1e3 * (p[0] * x.powf(p[1]) - y)).collect()
        };
        let found = least_squares(&[1.0, 1.0, 7.0], &[10.0; 3], residuals);
        assert!((found[0] - 3.0).abs() < 1e-4 && (found[1] - 0.5).abs() < 1e-4, "{found:?}");
        assert!((found[2] - 7.0).abs() < 1e-9, "{found:?}");
    }
}
