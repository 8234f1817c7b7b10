package main

import (
	"encoding/json"

	"github.com/spf13/cobra"

	"github.com/purser-dev/purser/models"
)

// createdMerchant is what `merchant create` prints.
type createdMerchant struct {
	Merchant struct {
		ID   string `json:"id"`
		Slug string `json:"slug"`
	} `json:"merchant"`
	APIKeys struct {
		Live string `json:"live"`
		Test string `json:"test"`
	} `json:"api_keys"`
}

func (p *Program) merchantCommand() *cobra.Command {
	var in models.MerchantInput
	create := &cobra.Command{
		Use: "create", Short: "Create a merchant and print its API keys, which are shown this once only",
		Example: "  purser merchant create --name 'Example Software' --email orders@example.com",
	}
	flags := create.Flags()
	flags.StringVar(&in.Name, "name", "", "the merchant's name, as customers read it")
	flags.StringVar(&in.Email, "email", "", "where notices to the merchant go")
	flags.StringVar(&in.Slug, "slug", "", "the merchant's name in addresses; made from the name if left out")
	flags.BoolVar(&in.AllowPrivateTargets, "allow-private-targets", false, "let the merchant's webhooks reach the networks of PURSER_ALLOWED_PRIVATE_NETS")
	_ = create.MarkFlagRequired("name")
	_ = create.MarkFlagRequired("email")
	return group(&cobra.Command{Use: "merchant", Short: "Manage merchants"},
		p.tool(create, orNew, func(cmd *cobra.Command, _ []string, store *models.Store, _ Settings) error {
			m, live, test, err := store.CreateMerchant(cmd.Context(), in)
			if err != nil {
				return err
			}
			var out createdMerchant
			out.Merchant.ID, out.Merchant.Slug = m.ID, m.Slug
			out.APIKeys.Live, out.APIKeys.Test = live, test
			return json.NewEncoder(cmd.OutOrStdout()).Encode(out)
		}),
	)
}
