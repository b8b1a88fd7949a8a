//! Microsoft's clouds, and the token service of each.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cloud {
    Commercial,
    Gcc,
    GccHigh,
    Dod,
    China,
}

impl Cloud {
    /// Every cloud, and the value of `api.cloud` that chooses it.
    pub const NAMES: [(&str, Cloud); 5] = [
        ("commercial", Cloud::Commercial),
        ("gcc", Cloud::Gcc),
        ("gcc-high", Cloud::GccHigh),
        ("dod", Cloud::Dod),
        ("china", Cloud::China),
    ];

    pub fn name(self) -> &'static str {
        match self {
            Cloud::Commercial => "commercial",
            Cloud::Gcc => "gcc",
            Cloud::GccHigh => "gcc-high",
            Cloud::Dod => "dod",
            Cloud::China => "china",
        }
    }

    /// Who issues the cloud's tokens. The commercial login serves GCC, too.
    pub fn login_url(self) -> &'static str {
        match self {
            Cloud::Commercial | Cloud::Gcc => "https://login.microsoftonline.com",
            Cloud::GccHigh | Cloud::Dod => "https://login.microsoftonline.us",
            Cloud::China => "https://login.chinacloudapi.cn",
        }
    }
}
